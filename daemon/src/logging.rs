//! Logs on stderr by `tracing`, text or one JSON object a line. Every line of a transaction stands in [`span`], so it carries
//! the request's id. What is logged is made of types without secrets; the types of `schema::secret` mask themselves.
use payterm_schema::config::LogConfig;
use tracing_subscriber::{EnvFilter, fmt};

#[derive(Debug, thiserror::Error)]
#[error("log.level: {0}")]
pub struct LogError(String);

/// Sets up the process's log; a second call in one process is a fault.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.level).map_err(|e| LogError(e.to_string()))?;
    let base = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let done =
        if config.json { base.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init() } else { base.with_ansi(false).try_init() };
    done.map_err(|e| LogError(e.to_string()))
}

/// The span of a request's log lines.
pub fn span(request: &str) -> tracing::Span {
    tracing::info_span!("txn", request)
}
