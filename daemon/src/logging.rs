//! Logs on stderr by `tracing`, text or one JSON object a line. Every line of a transaction stands in
//! a span, so it carries the request's id. What is logged is made of types without secrets; the types of
//! `schema::secret` mask themselves. The last lines are kept in memory for the support bundle.
use crate::config::hint;
use payterm_schema::config::LogConfig;
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Mutex, OnceLock, PoisonError},
};
use tracing_subscriber::{EnvFilter, fmt, reload};

#[derive(Debug, thiserror::Error)]
#[error("log.level: {rule}")]
pub struct LogError {
    pub rule: String,
    /// `did you mean "warn"?`
    pub meant: Option<String>,
}
impl LogError {
    fn new(rule: impl ToString) -> Self {
        Self { rule: rule.to_string(), meant: None }
    }
}

/// Words for a level. Of another word a filter makes the name of a module, and is silent about all others.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Lines kept. 2,000: an hour of a busy shop at level info.
const KEPT: usize = 2000;
/// Characters kept of one line. 2,048.
const LINE: usize = 2048;
static RECENT: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;
/// Puts another filter into the process's log.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// A level or filter as `log.level` names it.
pub struct Level(EnvFilter);

impl Level {
    pub fn parse(text: &str) -> Result<Self, LogError> {
        for level in text.split(',').map(|d| d.rsplit_once('=').map_or(d, |(_, level)| level)) {
            if !LEVELS.contains(&level) {
                let meant = hint::nearest(level, LEVELS.into_iter()).map(|l| hint::meant(format!("{l:?}")));
                let rule = format!("{level:?} is none of {}", LEVELS.join(", "));
                return Err(LogError { rule, meant });
            }
        }
        EnvFilter::try_new(text).map(Self).map_err(LogError::new)
    }
    /// From now on the process's log has this level; without a log nothing has.
    pub fn set(self) {
        if let Some(Err(e)) = SET_FILTER.get().map(|set| set(self.0)) {
            tracing::warn!("log.level: {e}");
        }
    }
}

/// Sets up the process's log; a second call in one process is a fault.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let Level(filter) = Level::parse(&config.level)?;
    let base = fmt().with_env_filter(filter).with_writer(|| Kept).with_target(false);
    let (set, done): (SetFilter, _) = if config.json {
        let base = base.json().flatten_event(true).with_current_span(true).with_span_list(false);
        let base = base.with_filter_reloading();
        let handle = base.reload_handle();
        (Box::new(move |filter| handle.reload(filter)), base.try_init())
    } else {
        let base = base.with_ansi(false).with_filter_reloading();
        let handle = base.reload_handle();
        (Box::new(move |filter| handle.reload(filter)), base.try_init())
    };
    done.map_err(LogError::new)?;
    SET_FILTER.set(set).ok();
    Ok(())
}

/// The last lines of this process's log, oldest first.
pub fn recent() -> Vec<String> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Stderr, and the kept lines: an event is written whole.
struct Kept;
impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            if recent.len() == KEPT {
                recent.pop_front();
            }
            recent.push_back(line.chars().take(LINE).collect());
        }
        drop(recent);
        io::stderr().write_all(bytes)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        for n in 0..KEPT + 10 {
            let line = format!("line {n} {}\n", "x".repeat(if n == KEPT { 3 * LINE } else { 0 }));
            Kept.write_all(line.as_bytes()).unwrap();
        }
        let kept = recent();
        assert_eq!(kept.len(), KEPT);
        assert!(kept[0].starts_with("line 10 ") && kept.iter().all(|l| l.chars().count() <= LINE));
    }
}
