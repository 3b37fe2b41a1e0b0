//! A text read as far as it can be: what serde refuses is noted and put right, until the rest can be read
//! and judged too.
use super::{ConfigError, Finding, Refused, hint};
use payterm_devices::Drivers;
use payterm_schema::{Fault, config::Config};
use serde_path_to_error::{Path as Place, Segment};
use std::{collections::BTreeSet, path::Path};
use toml::{
    Value,
    de::{DeTable, DeValue},
};

/// Findings after which no more are looked for.
const MOST: usize = 100;

pub struct Reading<'t> {
    text: &'t str,
    root: DeTable<'t>,
    /// The text, without what was refused.
    value: Value,
    /// None: what is left cannot be judged as a whole.
    pub config: Option<Config>,
    findings: Vec<Finding>,
    /// Needed keys that have a value of ours, so that the rest can be read.
    stand_ins: BTreeSet<String>,
    /// Places that were taken out of lists.
    removed: Vec<(String, usize)>,
    /// Tables of which something was refused.
    doubtful: BTreeSet<String>,
}

impl<'t> Reading<'t> {
    pub fn of(text: &'t str, drivers: &Drivers) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reading = Self {
            text,
            root: root.into_inner(),
            value: Value::Boolean(false),
            config: None,
            findings: Vec::new(),
            stand_ins: BTreeSet::new(),
            removed: Vec::new(),
            doubtful: BTreeSet::new(),
        };
        for e in &errors {
            reading.no_toml(e.span().map_or(0, |s| s.start), e.message());
        }
        match toml::from_str(text) {
            Ok(table) => reading.value = Value::Table(table),
            Err(e) if reading.findings.is_empty() => {
                reading.no_toml(e.span().map_or(0, |s| s.start), e.message());
            }
            Err(_) => {}
        }
        if reading.findings.is_empty()
            && let Some(config) = reading.settle()
        {
            for fault in config.broken().into_iter().chain(drivers.broken(&config)) {
                reading.fault(fault, &config, drivers);
            }
            reading.config = Some(config);
        }
        reading
    }

    /// The text is no TOML there; of a line the first error is told.
    pub fn no_toml(&mut self, at: usize, rule: &str) {
        let line = line_of(self.text, at);
        if self.findings.iter().all(|f| f.line != Some(line)) {
            let text = self.text.lines().nth(line - 1).unwrap_or_default();
            let (rule, hint) = (rule.replace('\n', " "), hint::of_punctuation(text));
            self.findings.push(Finding { line: Some(line), field: String::new(), rule, hint });
        }
        self.config = None;
    }

    /// Refuses rows of a table that there is once: serde would take the first for the value of its first key.
    fn single(&mut self) {
        let single = serde_json::to_value(Config::default()).unwrap_or_default();
        let Value::Table(table) = &self.value else { return };
        let is_single = |key: &str| single.get(key).is_some_and(|v| !v.is_array());
        let is_rows = |(key, v): &(&String, &Value)| v.is_array() && is_single(key);
        let rows: Vec<_> = table.iter().filter(is_rows).map(|(key, _)| key.clone()).collect();
        for key in rows {
            self.refused(vec![Segment::Map { key }], "invalid type: sequence, expected struct Table");
        }
    }

    /// Has serde read it; what it refuses is noted and taken out, or has a stand-in.
    fn settle(&mut self) -> Option<Config> {
        self.single();
        // A finding may need a stand-in too.
        for _ in 0..2 * MOST {
            let refused = match serde_path_to_error::deserialize::<_, Config>(self.value.clone()) {
                // Where a whole row was no table, the others have moved up.
                Ok(config) => return self.removed.iter().all(|(list, _)| !is_rows(list)).then_some(config),
                Err(e) => e,
            };
            let message = refused.inner().message().to_owned();
            self.refused(steps(refused.path()), &message)?;
        }
        None
    }

    fn refused(&mut self, mut steps: Vec<Segment>, message: &str) -> Option<()> {
        let missing = message.strip_prefix("missing field `").and_then(|m| m.split('`').next());
        if let Some(key) = missing {
            steps.push(Segment::Map { key: key.to_owned() });
        }
        let name = self.name(&steps);
        // What was taken out of a table is missing there.
        if missing.is_none() || self.findings.iter().all(|f| f.field != name) {
            let told = hint::of_serde(message, &name, value_at(&self.value, &steps));
            self.doubtful.extend(name.split(['.', '[']).next().map(str::to_owned));
            self.doubtful.extend(told.table);
            let line = self.line(&name);
            self.findings.push(Finding { line, field: name.clone(), rule: told.rule, hint: told.hint });
        }
        let (last, parent) = steps.split_last()?;
        match (last, entry(&mut self.value, parent)?) {
            (Segment::Map { key }, Value::Table(table)) if missing.is_some() => {
                table.insert(key.clone(), stand_in(key)?);
                self.stand_ins.insert(name);
            }
            (Segment::Map { key }, Value::Table(table)) => drop(table.remove(key)?),
            (Segment::Seq { index }, Value::Array(items)) => {
                items.remove(*index);
                let (list, place) = name.strip_suffix(']')?.rsplit_once('[')?;
                self.removed.push((list.to_owned(), place.parse().ok()?));
                self.removed.sort();
            }
            _ => return None,
        }
        Some(())
    }

    /// Path of the key in the text, where what was taken out still counts.
    fn name(&self, steps: &[Segment]) -> String {
        let mut name = String::new();
        for step in steps {
            match step {
                Segment::Seq { index } => {
                    let of_list = self.removed.iter().filter(|(list, _)| *list == name);
                    let place = of_list.fold(*index, |place, (_, gone)| place + usize::from(*gone <= place));
                    name += &format!("[{place}]");
                }
                Segment::Map { key } | Segment::Enum { variant: key } if name.is_empty() => name += key,
                Segment::Map { key } | Segment::Enum { variant: key } => name += &format!(".{key}"),
                Segment::Unknown => {}
            }
        }
        name
    }

    /// Notes a broken rule, unless it is of a value that is ours.
    pub fn fault(&mut self, fault: Fault, config: &Config, drivers: &Drivers) {
        let Fault::Invalid { field, rule } = fault else {
            return self.broken("config", &fault.to_string(), None);
        };
        let told = hint::of_serde(&rule, &field, None);
        let value = field_value(&self.value, &field);
        let hint = told.hint.or_else(|| hint::of_reference(&field, value?, config, drivers));
        self.broken(&field, &told.rule, hint);
    }

    pub fn broken(&mut self, field: &str, rule: &str, hint: Option<String>) {
        let ours = self.stand_ins.iter().any(|key| {
            // Keys that the rules of others in their table look at.
            let looked_at = key
                .rsplit_once('.')
                .filter(|(_, key)| ["currency", "kind", "driver"].contains(key))
                .is_some_and(|(table, _)| field.starts_with(&format!("{table}.")));
            field == key || looked_at
        });
        // What it names may have been refused itself.
        let names = |key| self.stand_ins.iter().any(|k| k.ends_with(key));
        let of_ours = (field.ends_with("].account") && names(".id"))
            || (field.ends_with("].part_of") && names("].name"));
        // Of a directory each file.
        let told = field != "paper.templates" && self.findings.iter().any(|f| f.field == field);
        if !ours && !of_ours && !told {
            let line = self.line(field);
            let (field, rule) = (field.to_owned(), rule.to_owned());
            self.findings.push(Finding { line, field, rule, hint });
        }
    }

    /// Notes what a configuration lacks, unless it may be among what was refused.
    pub fn useless(&mut self, useless: Vec<(Fault, &[&str])>) {
        for (fault, tables) in useless {
            if let (Fault::Invalid { field, rule }, false) =
                (fault, tables.iter().any(|t| self.doubtful.contains(*t)))
            {
                self.broken(&field, &rule, None);
            }
        }
    }

    /// The configuration, if nothing is wrong with it.
    pub fn ends(mut self, path: &Path) -> Result<Config, ConfigError> {
        match self.config {
            Some(config) if self.findings.is_empty() => Ok(config),
            _ => {
                // Without a line: what is missing comes last.
                self.findings.sort_by_key(|f| f.line.unwrap_or(usize::MAX));
                Err(ConfigError::Refused(Refused { path: path.to_owned(), findings: self.findings }))
            }
        }
    }

    /// Line of a key like `account[1].mid` in the text; of one that is not there, of its table.
    fn line(&self, field: &str) -> Option<usize> {
        let mut at = None;
        let mut table = &self.root;
        for part in field.split('.') {
            let mut places = part.split(['[', ']']).filter(|p| !p.is_empty());
            let key = places.next()?;
            let Some((name, value)) = table.iter().find(|(k, _)| k.get_ref() == key) else { break };
            let (mut value, mut start) = (value.get_ref(), name.span().start);
            for place in places.filter_map(|p| p.parse::<usize>().ok()) {
                let DeValue::Array(rows) = value else { break };
                let Some(row) = rows.get(place) else { break };
                (value, start) = (row.get_ref(), row.span().start);
            }
            at = Some(start);
            let DeValue::Table(inner) = value else { break };
            table = inner;
        }
        at.map(|at| line_of(self.text, at))
    }
}

/// Tells whether the list is of tables.
fn is_rows(list: &str) -> bool {
    let key = list.rsplit('.').next().unwrap_or_default();
    ["account", "route", "device", "caller", "fee"].contains(&key)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

fn steps(path: &Place) -> Vec<Segment> {
    path.iter().take_while(|s| matches!(s, Segment::Seq { .. } | Segment::Map { .. })).cloned().collect()
}

fn entry<'v>(value: &'v mut Value, steps: &[Segment]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Segment::Map { key } => value.get_mut(key.as_str()),
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

fn value_at<'v>(value: &'v Value, steps: &[Segment]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Segment::Map { key } => value.get(key.as_str()),
        Segment::Seq { index } => value.get(*index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

/// Text of a field like `account[1].mid`.
fn field_value<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    let mut parts = field.split(['.', '[', ']']).filter(|p| !p.is_empty());
    let found = parts.try_fold(value, |value, part| match part.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => value.get(part),
    });
    found?.as_str()
}

/// A value that any needed key of this name can have. What depends on it is not judged.
fn stand_in(key: &str) -> Option<Value> {
    Some(match key {
        "id" | "name" | "app" | "account" => "-".into(),
        "profile" => "unionpay".into(),
        "mid" => "000000000000000".into(),
        "tid" => "00000000".into(),
        "currency" => "CNY".into(),
        "address" => "localhost:1".into(),
        "driver" | "ca" | "signing_key" | "url" | "parameters" => "".into(),
        "kind" => "scanner".into(),
        "product" => "card".into(),
        "limit" => Value::Array(Vec::new()),
        "uid" => Value::Integer(u32::MAX.into()),
        "basis_points" => Value::Integer(0),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row without any of its needed keys is told key by key, and the rest is judged.
    #[test]
    fn every_needed_key_has_a_stand_in() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        let mut all = BTreeSet::new();
        for table in schema["$defs"].as_object().unwrap().values() {
            let keys = table["required"].as_array().into_iter().flatten();
            all.extend(keys.filter_map(|k| k.as_str()));
        }
        assert!(all.contains("basis_points") && all.len() > 10, "{all:?}");
        for key in all {
            assert!(stand_in(key).is_some(), "{key}");
        }
    }
}
