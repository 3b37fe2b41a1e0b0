//! The shop's templates from their directory.
use payterm_texts::{TEMPLATE_MAX, TemplateFault, Templates};
use std::{fs, io::Read, path::Path};

/// Files that are looked at.
const FILES_MAX: usize = 16;

/// Reads every `*.jinja`; what is good serves, what is wrong is told. Without a directory: nothing.
pub fn load(dir: Option<&Path>) -> (Templates, Vec<TemplateFault>) {
    let Some(dir) = dir else { return Default::default() };
    let fault = |file: String, rule: String| TemplateFault { file, line: None, rule };
    let listed =
        fs::read_dir(dir).and_then(|all| all.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = match listed {
        Ok(paths) => paths,
        Err(e) => return (Templates::default(), vec![fault(dir.display().to_string(), e.to_string())]),
    };
    paths.retain(|p| p.extension().is_some_and(|e| e == "jinja"));
    paths.sort();
    let mut faults = Vec::new();
    if paths.len() > FILES_MAX {
        faults.push(fault(dir.display().to_string(), format!("up to {FILES_MAX} templates")));
        paths.truncate(FILES_MAX);
    }
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut content = Vec::new();
        // A pipe or a device would be waited for.
        let read = fs::metadata(&path).and_then(|m| {
            if m.is_file() { fs::File::open(&path) } else { Err(std::io::Error::other("no file")) }
        });
        match read.and_then(|f| f.take(TEMPLATE_MAX as u64 + 1).read_to_end(&mut content)) {
            Ok(_) => files.push((name, content)),
            Err(e) => faults.push(fault(name, e.to_string())),
        }
    }
    let (templates, wrong) = Templates::load(&files);
    faults.extend(wrong);
    (templates, faults)
}
