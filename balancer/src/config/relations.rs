//! What holds between the sections of a file.

use super::nearest::did_you_mean;
use super::prefixes::deciding;
use super::report::Report;
use super::sections::{Draft, ListenerDraft, MetricsDraft, PoolDraft};
use super::settings::ShieldMode;
use std::collections::BTreeMap;
use std::net::IpAddr;
use synward_ebpf::{ListVerdict, Prefix};
use synward_proto::Endpoint;
use synward_proto::flood_guard::Syncookies;
use toml::Spanned;

/// Notes what is wrong between sections.
pub(super) fn check(draft: &Draft, report: &Report<'_>) {
    unique_names(draft, report);
    unique_source_addresses(draft, report);
    listeners_apart(draft, report);
    source_ports_free(draft, report);
    listener_limits(draft, report);
    shields_have_cookies(draft, report);
    if let Some(metrics) = &draft.metrics {
        metrics_with_the_kernel(metrics, draft, report);
    }
    for pool in &draft.pools {
        unique_backends(pool, report);
        no_way_back(pool, draft, report);
        source_of_each_family(pool, draft, report);
    }
}

/// The index of the pool that a listener names. Where there is none, that is noted.
pub(super) fn pool_index(listener: &ListenerDraft, pools: &[PoolDraft], report: &Report<'_>) -> Option<usize> {
    let wanted = listener.pool.as_ref()?;
    let found = pools.iter().position(|pool| pool.name.get_ref() == wanted.get_ref());
    if found.is_none() {
        let names: Vec<&str> =
            pools.iter().map(|pool| pool.name.get_ref().as_str()).filter(|n| !n.is_empty()).collect();
        let hint =
            did_you_mean(wanted.get_ref(), names.iter().copied()).map_or(String::new(), |hint| format!("; {hint}"));
        let known =
            if names.is_empty() { "there are no pools".to_owned() } else { format!("pools: {}", names.join(", ")) };
        let text = format!("{}: pool {:?} does not exist{hint} ({known})", listener.label, wanted.get_ref());
        report.note(&wanted.span(), text);
    }
    found
}

/// Something of which there may be one only, and what it belongs to.
struct Claim<'d, T> {
    label: &'d str,
    what: &'d Spanned<T>,
}

/// Notes every claim that was made before.
fn unique<T: PartialEq>(claims: &[Claim<'_, T>], report: &Report<'_>, text: impl Fn(&T, &str, usize) -> String) {
    for (index, claim) in claims.iter().enumerate() {
        let earlier = claims[..index].iter().find(|earlier| earlier.what.get_ref() == claim.what.get_ref());
        if let Some(earlier) = earlier {
            let line = report.line(&earlier.what.span());
            report.note(
                &claim.what.span(),
                format!("{}: {}", claim.label, text(claim.what.get_ref(), earlier.label, line)),
            );
        }
    }
}

fn unique_names(draft: &Draft, report: &Report<'_>) {
    let taken = |name: &String, _: &str, line| format!("the name {name:?} is taken on line {line}");
    let named = |claims: Vec<Claim<'_, String>>| {
        let claims: Vec<_> = claims.into_iter().filter(|claim| !claim.what.get_ref().is_empty()).collect();
        unique(&claims, report, taken);
    };
    named(draft.interfaces.iter().map(|it| Claim { label: &it.label, what: &it.name }).collect());
    named(draft.listeners.iter().map(|it| Claim { label: &it.label, what: &it.name }).collect());
    named(draft.pools.iter().map(|it| Claim { label: &it.label, what: &it.name }).collect());
    for pool in &draft.pools {
        let names = pool.backends.iter().filter_map(|it| Some(Claim { label: &it.label, what: it.name.as_ref()? }));
        named(names.collect());
    }
}

/// Two interfaces that choose ports on one address would choose the same.
fn unique_source_addresses(draft: &Draft, report: &Report<'_>) {
    let claims: Vec<Claim<'_, IpAddr>> = (draft.interfaces.iter())
        .flat_map(|it| it.source_addresses.iter().map(|what| Claim { label: &it.label, what }))
        .collect();
    unique(&claims, report, |address, owner, line| {
        format!("{address} is a source address of {owner} already (line {line})")
    });
}

fn unique_backends(pool: &PoolDraft, report: &Report<'_>) {
    let claims: Vec<_> = pool.backends.iter().map(|it| Claim { label: &it.label, what: &it.address }).collect();
    unique(&claims, report, |address, _, line| format!("{address} is a backend of this pool already (line {line})"));
}

/// Every address that is listened on, with its listener's label.
fn listened(draft: &Draft) -> Vec<(&str, &Spanned<Endpoint>)> {
    draft.listeners.iter().flat_map(|it| it.addresses.iter().map(|at| (it.label.as_str(), at))).collect()
}

/// No two listeners may take one connection, as no two sockets of the kernel could.
fn listeners_apart(draft: &Draft, report: &Report<'_>) {
    let all = listened(draft);
    for (index, (label, at)) in all.iter().enumerate() {
        let earlier = all[..index].iter().find(|(_, earlier)| overlap(*earlier.get_ref(), *at.get_ref()));
        if let Some((owner, earlier)) = earlier {
            let (line, address, there) = (report.line(&earlier.span()), at.get_ref(), earlier.get_ref());
            let overlaps = if address == there { "is an address of" } else { &format!("overlaps {there} of") };
            report.note(&at.span(), format!("{label}: {address} {overlaps} {owner} already (line {line})"));
        }
    }
}

/// Whether some connection could go to both.
fn overlap(a: Endpoint, b: Endpoint) -> bool {
    let wildcard = a.addr.is_unspecified() || b.addr.is_unspecified();
    a.port == b.port && a.addr.is_ipv4() == b.addr.is_ipv4() && (wildcard || a.addr == b.addr)
}

fn source_ports_free(draft: &Draft, report: &Report<'_>) {
    for interface in &draft.interfaces {
        let range = &interface.source_ports;
        let (first, last) = (range.start(), range.end());
        for (label, address) in listened(draft) {
            let Endpoint { port, .. } = *address.get_ref();
            if range.contains(&port) {
                let owner = &interface.label;
                let text = format!("{label}: port {port} lies within source_ports of {owner}, {first}-{last}");
                report.note(&address.span(), text);
            }
        }
    }
}

fn listener_limits(draft: &Draft, report: &Report<'_>) {
    let most = draft.engine.max_connections;
    for listener in &draft.listeners {
        if let Some(limit) = listener.max_connections.as_ref().filter(|limit| *limit.get_ref() > most) {
            let (label, limit_is) = (&listener.label, limit.get_ref());
            let text = format!("{label}: max_connections is {limit_is}, but the whole engine has {most}");
            report.note(&limit.span(), text);
        }
    }
}

/// A shield answers by cookies.
fn shields_have_cookies(draft: &Draft, report: &Report<'_>) {
    if draft.engine.syncookies != Syncookies::Never {
        return;
    }
    for listener in &draft.listeners {
        if let Some(always) = listener.shield.as_ref().filter(|mode| *mode.get_ref() == ShieldMode::Always) {
            let text =
                "shield = \"always\" answers by cookies, but syncookies is \"off\" in [engine]; set that to \"auto\"";
            report.note(&always.span(), format!("{}: {text}", listener.label));
        }
    }
}

/// The kernel serves the metrics, so their address must be one that we do not take from it.
fn metrics_with_the_kernel(metrics: &MetricsDraft, draft: &Draft, report: &Report<'_>) {
    let (label, address) = (&metrics.label, Endpoint::from(*metrics.address.get_ref()));
    let taken = listened(draft).into_iter().find(|(_, at)| overlap(*at.get_ref(), address));
    if let Some((owner, at)) = taken {
        let text = format!("{label}: {} of {owner} is taken from the kernel; choose another port", at.get_ref());
        report.note(&metrics.address.span(), text);
    }
    let never_leaves = address.addr.is_loopback();
    let range = draft.interfaces.iter().find(|it| it.source_ports.contains(&address.port) && !never_leaves);
    if let Some(interface) = range {
        let (port, owner, ports) = (address.port, &interface.label, &interface.source_ports);
        let (first, last) = (ports.start(), ports.end());
        let text = format!("{label}: port {port} lies within source_ports of {owner}, {first}-{last}");
        report.note(&metrics.address.span(), text);
    }
}

/// A backend that is a listener of ours would send every connection back to us.
fn no_way_back(pool: &PoolDraft, draft: &Draft, report: &Report<'_>) {
    for backend in &pool.backends {
        let address = backend.address.get_ref();
        let listener = listened(draft).into_iter().find(|(_, at)| at.get_ref() == address);
        if let Some((owner, _)) = listener {
            let text = format!("{}: {address} is the address of {owner}: connections would come back", backend.label);
            report.note(&backend.address.span(), text);
        }
    }
}

/// What a backend answers comes from its address.
pub(super) fn backends_not_dropped(draft: &Draft, prefixes: &BTreeMap<Prefix, ListVerdict>, report: &Report<'_>) {
    for backend in draft.pools.iter().flat_map(|pool| &pool.backends) {
        let Endpoint { addr, .. } = *backend.address.get_ref();
        if let Some((prefix, ListVerdict::Drop)) = deciding(addr, |prefix| prefixes.get(&prefix).copied()) {
            let text = format!("{}: {addr} lies within {prefix}, from where [shield] drops everything", backend.label);
            report.note(&backend.address.span(), format!("{text}; allow {addr} or drop less"));
        }
    }
}

/// Where every interface says what its source addresses are, one of them must be of each backend's family.
fn source_of_each_family(pool: &PoolDraft, draft: &Draft, report: &Report<'_>) {
    if draft.interfaces.is_empty() || draft.interfaces.iter().any(|it| it.source_addresses.is_empty()) {
        return;
    }
    let sources = || draft.interfaces.iter().flat_map(|it| &it.source_addresses).map(Spanned::get_ref);
    for backend in &pool.backends {
        let Endpoint { addr, .. } = *backend.address.get_ref();
        if !sources().any(|source| source.is_ipv4() == addr.is_ipv4()) {
            let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
            let text = format!("{}: {addr} is {family}, but no source address of any interface is", backend.label);
            report.note(&backend.address.span(), text);
        }
    }
}
