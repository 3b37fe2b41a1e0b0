//! `paytermctl support`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::Subcommand;
use payterm_schema::Terminal;
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

#[derive(Subcommand)]
pub enum SupportAction {
    /// Writes what customer service needs into a tar.gz (managers): versions, configuration, devices,
    /// self-test, queues, last records and log lines; no secrets, no card data.
    Bundle {
        /// A file that is not there yet; else payterm-support-TIME.tar.gz here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl SupportAction {
    /// Writes the bundle with mode 0600; a file that is there is left alone.
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let SupportAction::Bundle { out } = self;
        let bus = Bus::connect(global, ui).await?;
        let bytes = bus.client.support_bundle(&bus.caller).await?;
        let path = match out {
            Some(path) => path,
            None => {
                let now = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_err(Failure::local)?;
                let digits: String = ui
                    .time(payterm_schema::Time(now.as_millis() as i64))
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect();
                format!("payterm-support-{digits}.tar.gz").into()
            }
        };
        let failed = |e: std::io::Error| Failure::Local(format!("{}: {e}", path.display()));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        ui.result(&serde_json::json!({"ok": true, "path": path, "bytes": bytes.len()}), || {
            ui.say("cli-bundle-written", &[("path", &path.display()), ("bytes", &bytes.len())])
        });
        Ok(0)
    }
}
