//! A shop's own templates: the files of one folder, read once.

use std::{fs, io::Read as _, path::Path};

use crate::Error;

/// Of one file. Ours have a tenth of it.
const MAX_BYTES: u64 = 256 * 1024;
/// Of the folder: a frame for each mail, in each language, twice.
const MAX_FILES: usize = 500;

/// A file of a shop's own.
pub struct Override {
    /// Its name, by which it takes the place of one of ours.
    pub name: String,
    /// Where it is, for whoever has to mend it.
    pub path: String,
    pub source: String,
}

/// Reads all files of a folder, but for hidden ones, by name.
pub fn read(folder: &Path) -> Result<Vec<Override>, Error> {
    let broken = |path: &Path, why: String| Error { file: path.display().to_string(), line: None, why };
    let entries = fs::read_dir(folder).map_err(|error| broken(folder, error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| broken(folder, error.to_string()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue; // of editors, version control, and Kubernetes
        }
        if files.len() == MAX_FILES {
            return Err(broken(folder, format!("it has more than {MAX_FILES} files")));
        }
        let source = text(&path).map_err(|why| broken(&path, why))?;
        files.push(Override { name, path: path.display().to_string(), source });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn text(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let is_file = file.metadata().map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("it is no file".to_owned());
    }
    let mut source = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut source);
    match read {
        Ok(_) if source.len() as u64 <= MAX_BYTES => Ok(source),
        Ok(_) => Err(format!("it has more than {} KiB", MAX_BYTES / 1024)),
        Err(error) => Err(error.to_string()),
    }
}
