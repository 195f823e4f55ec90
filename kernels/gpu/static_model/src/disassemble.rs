//! NVIDIA's disassembler at work.

use std::{io::Write, path::Path, process::Command};

use crate::{Code, ModelError};

/// Reads the code of a cubin with the `nvdisasm` at `tool`.
pub fn disassemble(tool: &Path, cubin: &[u8]) -> Result<Code, ModelError> {
    let failed = |reason: String| ModelError::Disassembler { tool: tool.to_owned(), reason };
    let run = || {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(cubin)?;
        Command::new(tool).args(["-c", "-hex"]).arg(file.path()).output()
    };
    let output = run().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(Code::parse(&String::from_utf8_lossy(&output.stdout)))
}
