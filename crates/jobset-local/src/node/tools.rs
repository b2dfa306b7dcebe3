//! Programs of the cluster's own that containers find: links in a directory at the end of `PATH`,
//! where they hide nothing that the host has.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Makes a directory with a link to each program and returns it.
pub(crate) fn provide(directory: &Path, tools: &[(String, PathBuf)]) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    for (name, program) in tools {
        symlink(program, directory.join(name))?;
    }
    Ok(directory.to_owned())
}

/// Adds the directory to the search path.
pub(crate) fn append(env: &mut Vec<(String, String)>, directory: &Path) {
    let directory = directory.to_string_lossy();
    match env.iter_mut().find(|(name, _)| name == "PATH") {
        Some((_, path)) => {
            path.push(':');
            path.push_str(&directory);
        }
        // What a shell would search by itself.
        None => env.push(("PATH".to_owned(), format!("/usr/bin:/bin:{directory}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_come_last() {
        let directory = tempfile::tempdir().unwrap();
        let tools = [("true2".to_owned(), PathBuf::from("/bin/true"))];
        let provided = provide(&directory.path().join("tools"), &tools).unwrap();
        let link = fs::read_link(provided.join("true2")).unwrap();
        assert_eq!(link, Path::new("/bin/true"));
        let mut env = vec![("PATH".to_owned(), "/a:/b".to_owned())];
        append(&mut env, &provided);
        assert_eq!(env[0].1, format!("/a:/b:{}", provided.display()));
        let mut env = Vec::new();
        append(&mut env, Path::new("/t"));
        assert_eq!(env, [("PATH".to_owned(), "/usr/bin:/bin:/t".to_owned())]);
    }
}
