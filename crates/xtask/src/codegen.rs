//! Generates `crates/proto/src/gen` from `proto/`, without `protoc`. The result is checked in; the test below fails when it
//! no longer fits the protos.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use prost::Message as _;

/// Writes the generated code and the descriptor set into the tree.
pub(crate) fn write() -> Result<()> {
    let folder = generated();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    generate(&folder)
}

fn generated() -> PathBuf {
    crate::root().join("crates/proto/src/gen")
}

fn generate(folder: &Path) -> Result<()> {
    let protos = crate::root().join("proto");
    let mut files = Vec::new();
    collect(&protos, &mut files)?;
    files.sort();
    let descriptors = protox::compile(&files, [&protos]).context("compile the protos")?;
    fs::write(folder.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut prost = prost_build::Config::new();
    prost.enable_type_names();
    tonic_prost_build::configure()
        .out_dir(folder)
        // Clients are made from channels of service-kit; the constructor would also clash with the RPC `Connect`.
        .build_transport(false)
        .include_file("mod.rs")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, prost)
        .context("generate the code")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_code_matches_the_protos() {
        let fresh = tempfile::tempdir().expect("a folder for the fresh code");
        generate(fresh.path()).expect("the protos compile");
        for entry in fs::read_dir(fresh.path()).expect("the fresh folder is there") {
            let path = entry.expect("its entries can be read").path();
            let name = path.file_name().expect("files have names");
            let kept = fs::read(generated().join(name)).unwrap_or_default();
            assert!(
                kept == fs::read(&path).expect("fresh code can be read"),
                "{name:?} is stale: run `cargo xtask codegen`"
            );
        }
    }
}
