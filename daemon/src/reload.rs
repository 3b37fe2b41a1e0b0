//! SIGHUP: the configuration is read anew while the terminal runs.
use crate::{
    config::{ConfigError, differences},
    logging::{Level, LogError},
};
use payterm_dbus::Server;
use payterm_engine::{Engine, ReloadError, aside, taken};
use payterm_schema::config::Config;
use std::sync::Arc;

/// Reads and checks the configuration as at a start.
pub type Reread = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Engine(#[from] ReloadError),
    #[error("the file was not read: a thread ended")]
    Unread,
}

/// Takes what can be taken of the configuration as it is in the file now; `running` is the one in use. One
/// error, and nothing is taken. Answers what people are to know of it.
pub async fn reload(read: &Reread, running: &mut Config, engine: &Engine, server: &Server) -> Option<String> {
    match take(read, running, engine, server).await {
        Ok(left) if left.is_empty() => {
            tracing::info!("the configuration was read anew and taken");
            None
        }
        Ok(left) => {
            let keys = left.join(", ");
            tracing::warn!(keys, "the configuration was read anew and taken, but for what needs a restart");
            Some(format!("needs a restart: {keys}"))
        }
        Err(why) => {
            // A line for each thing that is wrong.
            let why = why.to_string().replace('\n', "; ");
            tracing::warn!("nothing of the changed configuration is taken, the old one stays: {why}");
            Some(format!("the changed configuration is refused: {why}"))
        }
    }
}

/// Answers the keys that have changed and were not taken.
async fn take(
    read: &Reread,
    running: &mut Config,
    engine: &Engine,
    server: &Server,
) -> Result<Vec<String>, Refused> {
    let read = read.clone();
    let new = aside(move || read()).await.ok_or(Refused::Unread)??;
    let level = Level::parse(&new.log.level)?;
    engine.reload(&new).await?;
    level.set();
    server.set_callers(&new.bus.callers);
    *running = taken(running, &new);
    Ok(differences(running, &new))
}
