//! Prefixes in the file, and in files of their own.

use super::{LEAST, mistakes, parse};
use std::path::PathBuf;
use synward_ebpf::ListVerdict;

/// A file that is gone with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn holding(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("synward-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn with(lines: &str) -> String {
    format!("[shield]\n{lines}\n{LEAST}")
}

const WANTED: &str = r#"must be an address or a network such as "192.0.2.1", "10.0.0.0/8" or "2001:db8::/32""#;

#[test]
fn what_is_no_prefix() {
    for (text, hint) in [
        ("10.0.0", ""),
        ("10.0.0.0/33", "; an address of this family has only 32 bits"),
        ("10.1.2.3/8", r#"; write "10.0.0.0/8" for the network or "10.1.2.3" for the address alone"#),
        ("2001:db8::1/32", r#"; write "2001:db8::/32" for the network or "2001:db8::1" for the address alone"#),
    ] {
        let wanted = format!("front.toml:2:9: shield: each of drop {WANTED}, not {text:?}{hint}");
        assert_eq!(mistakes(&with(&format!("drop = ['{text}']"))), [wanted]);
    }
}

#[test]
fn one_prefix_has_one_verdict() {
    assert_eq!(
        mistakes(&with("drop = ['192.0.2.0/24', '192.0.2.1', '192.0.2.0/24']\nallow = ['192.0.2.1/32']")),
        ["front.toml:3:10: shield: 192.0.2.1/32 is to be both dropped and allowed (see line 2)"]
    );
    let drop = Temporary::holding("both", "192.0.2.0/24\n");
    assert_eq!(
        mistakes(&with(&format!("allow = ['192.0.2.0/24']\ndrop_file = '{}'", drop.name()))),
        [format!("front.toml:2:10: shield: 192.0.2.0/24 is to be both dropped and allowed (see {}:1)", drop.name())]
    );
}

#[test]
fn backends_are_not_dropped() {
    assert_eq!(
        mistakes(&with("drop = ['10.0.0.0/8']")),
        [
            r#"front.toml:15:11: pool "web", backend 1: 10.0.1.1 lies within 10.0.0.0/8, from where [shield] drops everything; allow 10.0.1.1 or drop less"#
        ]
    );
    parse(&with("drop = ['10.0.0.0/8', '0.0.0.0/0', '10.0.1.2']\nallow = ['10.0.1.0/24']"));
}

#[test]
fn files_are_read_with_their_comments() {
    let text = "# those who\n192.0.2.0/24 # never rest\n\n  2001:db8:bad::/48\r\n198.51.100.7\n192.0.2.0/24\n";
    let (drop, allow) = (Temporary::holding("drop", text), Temporary::holding("allow", "192.0.2.9"));
    let lines = format!("drop = ['203.0.113.0/24']\ndrop_file = '{}'\nallow_file = '{}'", drop.name(), allow.name());
    let prefixes = parse(&with(&lines)).shield.prefixes;
    let wanted = [
        ("192.0.2.0/24", ListVerdict::Drop),
        ("192.0.2.9", ListVerdict::Allow),
        ("198.51.100.7", ListVerdict::Drop),
        ("203.0.113.0/24", ListVerdict::Drop),
        ("2001:db8:bad::/48", ListVerdict::Drop),
    ];
    assert_eq!(prefixes, wanted.map(|(prefix, verdict)| (prefix.parse().unwrap(), verdict)).into());
}

#[test]
fn mistakes_in_files_have_their_file_and_line() {
    let drop = Temporary::holding("wrong", b"192.0.2.0/24\n  10.1.2.3/8 # which?\n\xff\n");
    let name = drop.name();
    assert_eq!(
        mistakes(&with(&format!("drop_file = '{name}'\nallow_file = '/nobody/here'"))),
        [
            "front.toml:3:14: shield: allow_file: /nobody/here: No such file or directory (os error 2)".to_owned(),
            format!(
                r#"{name}:2:3: each line {WANTED}, not "10.1.2.3/8"; write "10.0.0.0/8" for the network or "10.1.2.3" for the address alone"#
            ),
            format!("{name}:3:1: each line {WANTED}, not \"\u{fffd}\""),
        ]
    );
    assert_eq!(
        mistakes(&with("drop_file = 'drop.txt'")),
        [r#"front.toml:2:13: shield: drop_file must be an absolute path, not "drop.txt""#]
    );
    assert_eq!(
        mistakes(&with("drop_file = '/dev/zero'")),
        ["front.toml:2:13: shield: drop_file: /dev/zero: is larger than 16777216 bytes"]
    );
}

#[test]
fn a_file_of_something_else_is_not_told_line_by_line() {
    let drop = Temporary::holding("else", "<html>\n".repeat(1000));
    let said = mistakes(&with(&format!("drop_file = '{}'", drop.name())));
    assert_eq!(said.len(), 11);
    let name = drop.name();
    assert_eq!(
        said[0],
        format!("front.toml:2:13: 990 more lines of {name} are no prefixes; is it a list of prefixes?")
    );
}

#[test]
fn there_may_be_so_many_and_no_more() {
    let prefixes = |count: u32| -> String {
        (0..count).map(|number| format!("{}\n", std::net::Ipv4Addr::from_bits(0xc000_0000 + number))).collect()
    };
    let most = Temporary::holding("most", prefixes(131_072));
    assert_eq!(parse(&with(&format!("drop_file = '{}'", most.name()))).shield.prefixes.len(), 131_072);
    let more = Temporary::holding("more", prefixes(131_073));
    assert_eq!(
        mistakes(&with(&format!("drop_file = '{}'", more.name()))),
        ["front.toml:1:1: shield: 131073 prefixes to drop and allow; at most 131072 are possible"]
    );
}
