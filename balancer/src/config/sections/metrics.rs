//! `[metrics]`

use crate::config::addresses::metrics_address;
use crate::config::section::Section;
use std::net::SocketAddr;
use toml::Spanned;

/// Where metrics are served, and how mistakes call it.
pub(in crate::config) struct MetricsDraft {
    pub(in crate::config) label: String,
    pub(in crate::config) address: Spanned<SocketAddr>,
}

/// `None` without the section, and where its address is missing or wrong.
pub(super) fn read(section: Option<Section<'_>>) -> Option<MetricsDraft> {
    let mut section = section?;
    let address = section.required("address", &metrics_address());
    let label = section.label().to_owned();
    section.finish();
    Some(MetricsDraft { label, address: address? })
}
