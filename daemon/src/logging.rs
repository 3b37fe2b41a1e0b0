//! Logs on stderr by `tracing`, text or one JSON object a line. Every line of a transaction stands in
//! a span, so it carries the request's id. What is logged is made of types without secrets; the types of
//! `schema::secret` mask themselves. The last lines are kept in memory for the support bundle. Where stderr
//! is the journal of systemd, lines have the journal's priority, and no time: it has its own.
use crate::config::hint;
use payterm_schema::config::LogConfig;
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
};
use tracing::{Level as Severity, Metadata};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt as _,
    registry, reload,
    reload::Handle,
    util::SubscriberInitExt as _,
};

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

/// Filter of the process's log.
static FILTER: OnceLock<Handle<Targets, registry::Registry>> = OnceLock::new();

/// A level or filter as `log.level` names it.
pub struct Level(Targets);

impl Level {
    pub fn parse(text: &str) -> Result<Self, LogError> {
        for level in text.split(',').map(|d| d.rsplit_once('=').map_or(d, |(_, level)| level)) {
            if !LEVELS.contains(&level) {
                let meant = hint::nearest(level, LEVELS.into_iter()).map(|l| hint::meant(format!("{l:?}")));
                let rule = format!("{level:?} is none of {}", LEVELS.join(", "));
                return Err(LogError { rule, meant });
            }
        }
        text.parse().map(Self).map_err(LogError::new)
    }
    /// From now on the process's log has this level; without a log nothing has.
    pub fn set(self) {
        if let Some(Err(e)) = FILTER.get().map(|filter| filter.reload(self.0)) {
            tracing::warn!("log.level: {e}");
        }
    }
}

/// Stderr is the journal of systemd (systemd.exec(5), JOURNAL_STREAM).
static IS_JOURNAL: LazyLock<bool> = LazyLock::new(|| {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|s| stream == format!("{}:{}", s.st_dev, s.st_ino))
});

/// Sets up the process's log; a second call in one process is a fault.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let Level(filter) = Level::parse(&config.level)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(Stderr).with_target(false);
    let lines = match (config.json, *IS_JOURNAL) {
        (false, false) => lines.with_ansi(false).boxed(),
        (false, true) => lines.with_ansi(false).without_time().boxed(),
        (true, in_journal) => {
            let lines = lines.json().flatten_event(true).with_current_span(true).with_span_list(false);
            if in_journal { lines.without_time().boxed() } else { lines.boxed() }
        }
    };
    registry().with(filter).with(lines).try_init().map_err(LogError::new)?;
    FILTER.set(handle).ok();
    Ok(())
}

/// The last lines of this process's log, oldest first.
pub fn recent() -> Vec<String> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Says on stderr why there is no start, before there is a log.
pub fn complain(line: &str) {
    let priority = if *IS_JOURNAL { priority(&Severity::ERROR) } else { "" };
    eprintln!("{priority}paytermd: {line}");
}

/// Prefix of a line by which the journal knows its priority (sd-daemon(3)).
const fn priority(severity: &Severity) -> &'static str {
    match *severity {
        Severity::ERROR => "<3>",
        Severity::WARN => "<4>",
        Severity::INFO => "<6>",
        Severity::DEBUG | Severity::TRACE => "<7>",
    }
}

/// Stderr, and the kept lines.
struct Stderr;
impl MakeWriter<'_> for Stderr {
    type Writer = Kept;
    fn make_writer(&self) -> Kept {
        Kept { priority: None }
    }
    fn make_writer_for(&self, event: &Metadata<'_>) -> Kept {
        Kept { priority: IS_JOURNAL.then(|| priority(event.level())) }
    }
}

/// Writer of one event, which is written whole.
struct Kept {
    /// None: lines have their time.
    priority: Option<&'static str>,
}
impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut time = String::new();
        if self.priority.is_some() && SystemTime.format_time(&mut Writer::new(&mut time)).is_ok() {
            time.push(' ');
        }
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            if recent.len() == KEPT {
                recent.pop_front();
            }
            recent.push_back(time.chars().chain(line.chars()).take(LINE).collect());
        }
        drop(recent);
        match self.priority {
            None => io::stderr().write_all(bytes)?,
            // To the journal each line is an entry of its own.
            Some(priority) => {
                let lines = text.lines().map(|l| format!("{priority}{}\n", l.trim_start()));
                io::stderr().write_all(lines.collect::<String>().as_bytes())?;
            }
        }
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
            Kept { priority: None }.write_all(line.as_bytes()).unwrap();
        }
        let kept = recent();
        assert_eq!(kept.len(), KEPT);
        assert!(kept[0].starts_with("line 10 ") && kept.iter().all(|l| l.chars().count() <= LINE));
        // The journal's time is not in the support bundle.
        Kept { priority: Some("<4>") }.write_all(b" WARN a\n").unwrap();
        let last = recent().pop().unwrap_or_default();
        assert!(last.starts_with("20") && last.ends_with("Z  WARN a"), "{last}");
    }
}
