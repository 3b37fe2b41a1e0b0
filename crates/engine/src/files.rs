//! Files and directories that a configuration names: what is wrong with them, before anything starts.
use crate::{emv, font, hostlink, profiles, templates, tms};
use payterm_devices::Drivers;
use payterm_hosts::ProfileError;
use payterm_schema::{
    Fault,
    config::{AccountConfig, Config, StoreConfig},
    fault::with_causes,
};
use payterm_vault::SealingKey;
use rustix::fs::{Access, access};
use std::path::Path;

/// Everything that is wrong, as `Invalid` with the path of the key that names it. Nothing is made or changed.
pub fn broken(config: &Config, drivers: &Drivers) -> Vec<Fault> {
    let mut broken = Vec::new();
    let mut wrong = |field: String, rule: String| {
        // A parser's error may have several lines.
        let rule = rule.split_whitespace().collect::<Vec<_>>().join(" ");
        broken.push(Fault::Invalid { field, rule });
    };
    for (i, account) in config.accounts.iter().enumerate() {
        if let Some(rule) = of_profile(account) {
            wrong(format!("account[{i}].profile"), rule);
        }
        if let Some(tls) = &account.tls {
            for (key, e) in hostlink::broken_tls(tls, &account.address) {
                wrong(format!("account[{i}].tls.{key}"), e.to_string());
            }
        }
    }
    for (key, rule) in config.tms.iter().flat_map(tms::broken) {
        wrong(format!("tms.{key}"), rule);
    }
    for (field, rule) in emv::broken(config, drivers) {
        wrong(field, rule);
    }
    for fault in templates::load(config.paper.templates.as_deref()).1 {
        wrong("paper.templates".into(), fault.to_string());
    }
    if let Err(rule) = font::load(config.paper.font.as_deref()) {
        wrong("paper.font".into(), rule);
    }
    if let Some(Err(e)) = config.vault.key_file.as_deref().map(SealingKey::from_file) {
        wrong("vault.key_file".into(), with_causes(&e));
    }
    for (key, rule) in of_store(&config.store) {
        wrong(format!("store.{key}"), rule);
    }
    broken
}

fn of_profile(account: &AccountConfig) -> Option<String> {
    let rule = match profiles::load(account).err()? {
        profiles::LoadError::Read { path, cause, .. } => format!("{}: {cause}", path.display()),
        profiles::LoadError::Profile { cause: ProfileError::Toml(e), .. } => {
            format!("{}: {}", e.to_string().lines().next().unwrap_or_default(), e.message())
        }
        profiles::LoadError::Profile { cause, .. } => cause.to_string(),
    };
    Some(rule.strip_prefix("profile: ").map_or(rule.clone(), str::to_owned))
}

fn of_store(store: &StoreConfig) -> Vec<(&'static str, String)> {
    let generation = store.generation_file.as_deref();
    let all = [
        ("dir", unwritable(&store.dir)),
        ("backup_dir", store.backup_dir.as_deref().and_then(unwritable)),
        ("generation_file", generation.and_then(Path::parent).and_then(unwritable)),
    ];
    let mut broken: Vec<_> = all.into_iter().filter_map(|(key, rule)| Some((key, rule?))).collect();
    if let Some(file) = generation.filter(|f| f.exists() && !f.is_file()) {
        broken.push(("generation_file", format!("{}: is no file", file.display())));
    }
    broken
}

/// Why nothing can be written into the directory; one that is not there yet must be one that can be made.
fn unwritable(dir: &Path) -> Option<String> {
    let there = dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("."));
    let why = match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        _ if !there.is_dir() => format!("{}: is no directory", there.display()),
        Ok(()) => return None,
        Err(e) if there == dir => format!("{}: cannot be written to: {e}", dir.display()),
        Err(e) => format!("{}: is not there, and cannot be made in {}: {e}", dir.display(), there.display()),
    };
    Some(why)
}
