//! A configuration in a few lines, for those who ask whether it says what they mean.

use super::quantities::show_duration;
use super::{BackendConfig, Balance, Config, InterfaceConfig, ListenerConfig, PoolConfig, Queues};
use std::fmt;

/// Displays as one line for each interface, listener and pool, and each ends in a newline.
pub struct Summary<'c>(pub &'c Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { engine, interfaces, listeners, pools, shield: _, metrics, shutdown } = self.0;
        for interface in interfaces {
            interface_line(interface, f)?;
        }
        for listener in listeners {
            listener_line(listener, &pools[listener.pool], f)?;
        }
        for (index, pool) in pools.iter().enumerate() {
            pool_line(pool, listeners.iter().any(|listener| listener.pool == index), f)?;
        }
        if let Some(address) = metrics {
            writeln!(f, "  metrics at http://{address}/metrics")?;
        }
        let at_once = engine.max_connections;
        let drain = show_duration(shutdown.drain);
        match engine.workers {
            0 => writeln!(f, "  proxy on the poll loops, {at_once} connections at once, drains for {drain}"),
            1 => writeln!(f, "  proxy on 1 worker, {at_once} connections at once, drains for {drain}"),
            n => writeln!(f, "  proxy on {n} workers, {at_once} connections at once, drains for {drain}"),
        }
    }
}

fn interface_line(interface: &InterfaceConfig, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ports = &interface.source_ports;
    let queues = match interface.queues {
        Queues::All => "all queues".to_owned(),
        Queues::Exactly(1) => "1 queue".to_owned(),
        Queues::Exactly(n) => format!("{n} queues"),
    };
    let from = match interface.source_addresses.as_slice() {
        [] => "addresses by route".to_owned(),
        addresses => listed(addresses),
    };
    writeln!(
        f,
        "  interface {}: {queues}, to backends from {from} ports {}-{}",
        interface.name,
        ports.start(),
        ports.end()
    )
}

fn listener_line(listener: &ListenerConfig, pool: &PoolConfig, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let ListenerConfig { name, addresses, shield, .. } = listener;
    writeln!(f, "  listener {name}: {} to pool {}, shield {}", listed(addresses), pool.name, shield.word())
}

fn pool_line(pool: &PoolConfig, used: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let balance = match pool.balance {
        Balance::RoundRobin => "round-robin".to_owned(),
        Balance::Maglev { table_size } => format!("maglev with {table_size} entries"),
    };
    let unused = if used { "" } else { " (no listener uses it)" };
    write!(f, "  pool {}{unused}: {balance} over {}", pool.name, pool.backends.len())?;
    f.write_str(if pool.backends.len() == 1 { " backend" } else { " backends" })?;
    let draining: Vec<&str> = pool.backends.iter().filter(|it| it.weight == 0).map(backend_name).collect();
    if !draining.is_empty() {
        write!(f, ", draining: {}", draining.join(", "))?;
    }
    writeln!(f)
}

fn backend_name(backend: &BackendConfig) -> &str {
    &backend.name
}

fn listed<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
