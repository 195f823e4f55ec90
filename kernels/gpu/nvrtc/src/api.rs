//! The functions of the library that are used, bound by hand from CUDA 13.0's `nvrtc.h`.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    path::Path,
    ptr,
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// The library's pointer to a program (`nvrtcProgram`).
pub(crate) type Handle = *mut c_void;
/// An `nvrtcResult`; zero is success.
type Status = c_int;

/// The loaded library. It stays loaded as long as the process lives: it keeps threads of its own.
pub(crate) struct Api {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status,
    error_string: unsafe extern "C" fn(Status) -> *const c_char,
    create: unsafe extern "C" fn(
        *mut Handle,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    destroy: unsafe extern "C" fn(*mut Handle) -> Status,
    compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> Status,
    cubin_size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
    cubin: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
    log_size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
    log: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
}

/// What a call of the library answered, in its own words.
pub(crate) type Answer<T> = Result<T, String>;

impl Api {
    /// Loads `library` and, before it, `builtins` where they lie beside each other: the library asks for its builtins by
    /// name only, and finds those that are already loaded.
    pub fn load(library: &Path, builtins: Option<&Path>) -> Result<Api, libloading::Error> {
        if let Some(builtins) = builtins {
            open(builtins)?;
        }
        let library = open(library)?;
        // SAFETY: the names are those of nvrtc.h, and the types of the fields their declarations.
        unsafe {
            Ok(Api {
                version: *library.get(b"nvrtcVersion\0")?,
                error_string: *library.get(b"nvrtcGetErrorString\0")?,
                create: *library.get(b"nvrtcCreateProgram\0")?,
                destroy: *library.get(b"nvrtcDestroyProgram\0")?,
                compile: *library.get(b"nvrtcCompileProgram\0")?,
                cubin_size: *library.get(b"nvrtcGetCUBINSize\0")?,
                cubin: *library.get(b"nvrtcGetCUBIN\0")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0")?,
                log: *library.get(b"nvrtcGetProgramLog\0")?,
            })
        }
    }

    /// Major and minor version.
    pub fn version(&self) -> Answer<(i32, i32)> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are valid for a write.
        self.check(unsafe { (self.version)(&mut major, &mut minor) })?;
        Ok((major, minor))
    }

    /// A program of this text, file name, and headers as pairs of text and name.
    pub fn program(&self, text: &CStr, name: &CStr, headers: &[(&CStr, &CStr)]) -> Answer<Program<'_>> {
        let texts: Vec<_> = headers.iter().map(|(text, _)| text.as_ptr()).collect();
        let names: Vec<_> = headers.iter().map(|(_, name)| name.as_ptr()).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: the strings end in zeros and live over the call, which copies them; both arrays have as many entries.
        let status = unsafe {
            let count = headers.len() as c_int;
            (self.create)(&mut handle, text.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr())
        };
        self.check(status)?;
        Ok(Program { api: self, handle })
    }

    fn check(&self, status: Status) -> Answer<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library answers any number with a static string.
        Err(unsafe { CStr::from_ptr((self.error_string)(status)) }.to_string_lossy().into_owned())
    }
}

/// Loads a library for good, its symbols visible to those loaded after it.
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: NVIDIA's libraries have no initialisers that depend on the process's state.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }?;
    // SAFETY: a second handle of the same library; forgetting it keeps it loaded.
    std::mem::forget(unsafe { Library::open(Some(path), RTLD_NOW) }?);
    Ok(library)
}

/// A program within the library.
pub(crate) struct Program<'a> {
    api: &'a Api,
    handle: Handle,
}

impl Program<'_> {
    /// Compiles; after a failure the log says why.
    pub fn compile(&self, options: &[&CStr]) -> Answer<()> {
        let options: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the handle is a live program's, the options are strings that live over the call.
        self.api.check(unsafe { (self.api.compile)(self.handle, options.len() as c_int, options.as_ptr()) })
    }

    /// The machine code.
    pub fn cubin(&self) -> Answer<Vec<u8>> {
        self.bytes(self.api.cubin_size, self.api.cubin)
    }

    /// The log, as far as there is one.
    pub fn log(&self) -> String {
        let bytes = self.bytes(self.api.log_size, self.api.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }

    fn bytes(
        &self,
        size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
        fill: unsafe extern "C" fn(Handle, *mut c_char) -> Status,
    ) -> Answer<Vec<u8>> {
        let mut len = 0;
        // SAFETY: the handle is a live program's.
        self.api.check(unsafe { size(self.handle, &mut len) })?;
        let mut bytes = vec![0u8; len];
        // SAFETY: the library writes as many bytes as it said.
        self.api.check(unsafe { fill(self.handle, bytes.as_mut_ptr().cast()) })?;
        Ok(bytes)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is a live program's and is not used again. What is answered has no consequence.
        unsafe { (self.api.destroy)(&mut self.handle) };
    }
}
