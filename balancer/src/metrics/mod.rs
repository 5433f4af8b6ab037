//! Metrics for Prometheus, over HTTP on an ordinary socket of the kernel.

mod exposition;

pub use exposition::Scrape;

use crate::control::server::View;
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// OpenMetrics 1.0, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A socket for metrics; nobody is answered yet.
#[derive(Debug)]
pub struct MetricsSocket {
    listener: TcpListener,
}

impl MetricsSocket {
    /// Takes the address, which must be the kernel's.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("{address}: cannot serve metrics here; choose another address in [metrics]"))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Answers with what there is to see in `view`, on a thread of its own, until the process ends.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn serve(self, view: Arc<View>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = Router::new().route("/metrics", get(metrics)).with_state(view);
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            axum::serve(listener, router).await
        };
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!("metrics: {error}");
            }
        })?;
        Ok(())
    }
}

async fn metrics(State(view): State<Arc<View>>) -> Result<impl IntoResponse, (StatusCode, String)> {
    let shield = view.shield.report().await.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let snapshot = view.observer.snapshot();
    let modes = view.modes_with(&snapshot);
    let scrape = Scrape { snapshot, modes, shield, proxy: view.proxy.as_ref().map(|stats| stats.report()) };
    let text = scrape.text().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
