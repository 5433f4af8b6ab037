//! A configuration in a few lines.

use super::{LEAST, parse};
use crate::config::Summary;

#[test]
fn one_line_for_each() {
    let wanted = "  interface eth0: all queues, to backends from addresses by route ports 16384-32767
  listener web: 10.0.0.1:80 to pool web, shield auto
  pool web: round-robin over 1 backend
  proxy on the poll loops, 32768 connections at once, drains for 30s
";
    assert_eq!(Summary(&parse(LEAST)).to_string(), wanted);
}

#[test]
fn what_is_special_is_said() {
    let text = format!(
        "engine.workers = 2\nmetrics.address = '127.0.0.1:9090'\n{LEAST}name = 'old'\nweight = 0\n[[pool.backend]]\naddress = '[fd00::1]:80'\n\
         [[pool]]\nname = 'spare'\nbalance = 'maglev'\nbackend = [{{ address = '10.0.1.1:80' }}]\n"
    )
    .replace("'eth0'", "'eth0'\nqueues = 2\nsource_addresses = ['10.0.0.2', 'fd00::2']")
    .replace("address = '10.0.0.1:80'", "addresses = ['0.0.0.0:80', '[::]:80']\nshield = 'always'");
    let wanted = "  interface eth0: 2 queues, to backends from 10.0.0.2, fd00::2 ports 16384-32767
  listener web: 0.0.0.0:80, [::]:80 to pool web, shield always
  pool web: round-robin over 2 backends, draining: old
  pool spare (no listener uses it): maglev with 65537 entries over 1 backend
  metrics at http://127.0.0.1:9090/metrics
  proxy on 2 workers, 32768 connections at once, drains for 30s
";
    assert_eq!(Summary(&parse(&text)).to_string(), wanted);
}
