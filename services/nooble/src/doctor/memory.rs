//! The memory of a process and everything it started.

use std::fs;
use std::io;

/// Returns the proportional set size of a process and its descendants, in KiB.
pub(super) fn of_family(root: u32) -> io::Result<u64> {
    let parents = parents()?;
    let mut family = vec![root];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    family.into_iter().map(pss).sum()
}

/// Returns every process with its parent.
fn parents() -> io::Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while the list is read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if let Some(parent) = after_name.split_whitespace().nth(1).and_then(|word| word.parse().ok()) {
            found.push((id, parent));
        }
    }
    Ok(found)
}

fn pss(id: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    Ok(number.unwrap_or_default())
}
