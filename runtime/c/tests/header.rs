//! `include/samp.h` is what cbindgen makes of `src`.

use std::{fs, path::Path};

#[test]
fn the_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = vec![];
    cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root.join("include/samp.h");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed != made {
        let current = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samp.h");
        fs::write(&current, made).unwrap();
        panic!("{} is not current: copy {} over it", path.display(), current.display());
    }
}
