//! What is counted, as Prometheus reads it.

use crate::control::report::{Rate, ShieldReport, ShieldedListener};
use crate::proxy::{BackendReport, ListenerReport, PoolReport, ProxyReport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt::Error;
use synward_engine::{Gauges, Snapshot};

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// The engine's counts.
    pub snapshot: Snapshot,
    /// The modes in force.
    pub modes: BTreeMap<String, String>,
    /// The XDP programs' counts, and the shields.
    pub shield: ShieldReport,
    /// The proxy's counts, where there is one.
    pub proxy: Option<ProxyReport>,
}

impl Scrape {
    /// As text in the format of OpenMetrics 1.0. All names begin with `synward_`.
    ///
    /// # Errors
    /// None: there is always room in memory.
    pub fn text(self) -> Result<String, Error> {
        let mut registry = Registry::with_prefix("synward");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut families = Families(encoder);
        engine(&self.snapshot, &mut families)?;
        gauges(&self.snapshot.gauges, &mut families)?;
        let modes = self.modes.iter().map(|(mode, value)| (labels([("mode", mode), ("value", value)]), 1));
        families.gauge("mode", "How packets reach us", modes)?;
        shield(&self.shield, &mut families)?;
        self.proxy.as_ref().map_or(Ok(()), |report| proxy(report, &mut families))
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(key, value)| (key, value.to_owned())).to_vec()
}

/// Writes families of metrics.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// A family of counters; `_total` is put behind its name.
    fn counter(&mut self, name: &str, help: &str, all: impl IntoIterator<Item = (Labels, u64)>) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in all {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }

    /// A family of gauges.
    fn gauge(&mut self, name: &str, help: &str, all: impl IntoIterator<Item = (Labels, u64)>) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in all {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

/// One value without labels.
fn one(value: u64) -> [(Labels, u64); 1] {
    [(Labels::new(), value)]
}

fn by<K: AsRef<str>>(key: &'static str, counts: &BTreeMap<K, u64>) -> impl Iterator<Item = (Labels, u64)> {
    counts.iter().map(move |(name, count)| (labels([(key, name.as_ref())]), *count))
}

fn engine(snapshot: &Snapshot, families: &mut Families<'_>) -> Result<(), Error> {
    let Snapshot { counters, drops, outcomes, ledger, port, gauges: _, modes: _ } = snapshot;
    families.counter("tcp_events", "Events of the TCP engine, under Linux's names", by("event", counters))?;
    families.counter("frames_received", "Frames that the engine received", one(outcomes.received))?;
    let fates = [
        ("consumed", outcomes.consumed),
        ("answered", outcomes.answered),
        ("delivered", outcomes.delivered),
        ("steered", outcomes.steered),
        ("dropped", outcomes.dropped),
    ];
    let fates = fates.map(|(outcome, count)| (labels([("outcome", outcome)]), count));
    families.counter("frame_outcomes", "What became of received frames; each became one thing", fates)?;
    families.counter("frames_dropped", "Frames that the engine dropped", by("reason", drops))?;
    families.counter("frames_lost", "Frames lost below the engine, in the rings of its sockets", by("cause", port))?;
    families.gauge("frames", "Where the frames of the pools are", by("holder", ledger))
}

fn gauges(gauges: &Gauges, families: &mut Families<'_>) -> Result<(), Error> {
    let Gauges {
        connections,
        connections_limit,
        time_waits,
        time_waits_limit,
        half_open,
        half_open_limit,
        frames_lent,
        frames_lent_limit,
        spliced,
        source_ports_used,
        orphans,
        buffered,
        buffered_limit,
    } = *gauges;
    for (name, help, value) in [
        ("connections", "Connections", connections),
        ("connections_limit", "The most connections there can be", connections_limit),
        ("time_waits", "Connections in TIME-WAIT", time_waits),
        ("time_waits_limit", "The most connections in TIME-WAIT there can be", time_waits_limit),
        ("half_open", "Half-open connections", half_open),
        ("half_open_limit", "The most half-open connections there can be", half_open_limit),
        ("frames_lent", "Received frames that readers hold", frames_lent),
        ("frames_lent_limit", "The most frames that readers can hold", frames_lent_limit),
        ("splices", "Pairs of connections that are spliced", spliced),
        ("source_ports_used", "Source ports in use, for each peer apart", source_ports_used),
        ("orphans", "Connections that are closed here and not at the peer", orphans),
        ("buffered", "Bytes that connections hold", buffered),
        ("buffered_limit", "The most bytes that connections can hold", buffered_limit),
    ] {
        families.gauge(name, help, one(value))?;
    }
    Ok(())
}

fn shield(report: &ShieldReport, families: &mut Families<'_>) -> Result<(), Error> {
    let ShieldReport { listeners, verdicts, top_sources: _, lists, known_flows, known_flow_overflows } = report;
    let verdicts = verdicts.iter().map(|(verdict, rate)| (labels([("verdict", verdict)]), rate.total));
    families.counter("xdp_frames", "What the XDP programs did with frames; each had one verdict", verdicts)?;
    let ends = |l: &ShieldedListener| labels([("listener", &l.listener), ("address", &l.local)]);
    let up = listeners.iter().map(|l| (ends(l), l.up.into()));
    families.gauge("shield_up", "Whether the shield of a listener is up", up)?;
    let raised = listeners.iter().map(|l| (ends(l), l.raised));
    families.counter("shield_raised", "How often the shield of a listener went up by itself", raised)?;
    type Of = fn(&ShieldedListener) -> Rate;
    for (name, help, of) in [
        ("listener_syns", "SYNs for a listener with a shield", (|l| l.syns) as Of),
        ("listener_cookies_sent", "SYNs that the XDP program answered by a cookie", |l| l.cookies_sent),
        ("listener_cookies_valid", "Cookies that came back to the XDP program", |l| l.cookies_valid),
        ("listener_segments_refused", "Segments that the XDP program dropped", |l| l.refused),
        ("listener_segments_passed", "Segments that went on to the engine", |l| l.passed),
    ] {
        families.counter(name, help, listeners.iter().map(|l| (ends(l), of(l).total)))?;
    }
    let listed = [("drop", lists.dropped), ("allow", lists.allowed)];
    let listed = listed.map(|(verdict, count)| (labels([("verdict", verdict)]), count));
    families.gauge("prefixes", "Prefixes that are listed", listed)?;
    families.gauge("prefixes_limit", "The most prefixes that can be listed", one(lists.limit))?;
    families.gauge(
        "hopeless_sources",
        "Addresses dropped for a while because nobody there answers",
        one(lists.hopeless),
    )?;
    families.gauge("known_flows", "Flows that pass a shield that is up", one(*known_flows))?;
    let help = "Flows that found their bucket of the filter full";
    families.counter("known_flow_overflows", help, one(*known_flow_overflows))
}

fn proxy(report: &ProxyReport, families: &mut Families<'_>) -> Result<(), Error> {
    let ProxyReport {
        listeners,
        pools,
        spliced,
        relayed,
        idle,
        failed,
        failed_unheard,
        no_source_port,
        no_room,
        worker_panics,
    } = report;
    listeners_of(listeners, families)?;
    pools_of(pools, families)?;
    let help = "How often the proxy of a worker panicked and was replaced; its clients were reset";
    families.counter("worker_panics", help, one(*worker_panics))?;
    let carried = [("spliced", *spliced), ("relayed", *relayed)].map(|(how, count)| (labels([("how", how)]), count));
    families.counter("clients_carried", "Clients that got a backend, by how their bytes are carried", carried)?;
    let failed_heard = failed.saturating_sub(*failed_unheard);
    let ends = [
        ("idle", *idle),
        ("failed", failed_heard),
        ("failed_unheard", *failed_unheard),
        ("no_source_port", *no_source_port),
        ("no_room", *no_room),
    ];
    let ends = ends.map(|(reason, count)| (labels([("reason", reason)]), count));
    families.counter("clients_reset", "Clients that were reset, but for those without a backend", ends)
}

fn listeners_of(listeners: &[ListenerReport], families: &mut Families<'_>) -> Result<(), Error> {
    let name = |l: &ListenerReport| labels([("listener", &l.name)]);
    families.gauge("listener_clients", "Clients now", listeners.iter().map(|l| (name(l), l.clients)))?;
    type Of = fn(&ListenerReport) -> u64;
    for (family, help, of) in [
        ("listener_accepted", "Clients that were accepted", (|l| l.accepted) as Of),
        ("listener_no_backend", "Clients that were reset because no backend took them", |l| l.no_backend),
        ("listener_client_gone", "Clients that went away before there was a backend for them", |l| l.client_gone),
    ] {
        families.counter(family, help, listeners.iter().map(|l| (name(l), of(l))))?;
    }
    Ok(())
}

fn pools_of(pools: &[PoolReport], families: &mut Families<'_>) -> Result<(), Error> {
    let all = || pools.iter().flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)));
    let names = |(pool, backend): (&PoolReport, &BackendReport)| {
        labels([("pool", &pool.name), ("backend", &backend.name), ("address", &backend.address)])
    };
    type Of = fn(&BackendReport) -> u64;
    for (family, help, of) in [
        (
            "backend_up",
            "Whether a backend is up: neither draining nor left alone",
            (|b| (b.state == "up").into()) as Of,
        ),
        ("backend_connecting", "Connections being opened", |b| b.connecting),
        ("backend_connections", "Connections now", |b| b.connections),
    ] {
        families.gauge(family, help, all().map(|it| (names(it), of(it.1))))?;
    }
    for (family, help, of) in [
        ("backend_connections_opened", "Connections that a backend took", (|b| b.total) as Of),
        ("backend_refused", "Connections that a backend refused", |b| b.refused),
        ("backend_timed_out", "Connections that a backend did not answer in time", |b| b.timed_out),
        ("backend_sent_bytes", "Bytes that went to a backend; those of a splice count at its end", |b| b.bytes_to),
        ("backend_received_bytes", "Bytes that came from a backend; those of a splice count at its end", |b| {
            b.bytes_from
        }),
    ] {
        families.counter(family, help, all().map(|it| (names(it), of(it.1))))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
