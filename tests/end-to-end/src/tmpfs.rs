//! A disk that is small enough to be filled.

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// A tmpfs, until it is dropped. Whoever works in it must have ended by then: declare it first.
#[derive(Debug)]
pub struct Tmpfs {
    folder: TempDir,
}

impl Tmpfs {
    /// Mounts one that holds `bytes`.
    ///
    /// # Panics
    /// When this user may not mount: the test that needs it then fails and says so, for one that did not run proves
    /// nothing.
    #[must_use]
    pub fn mount(bytes: u64) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let options = CString::new(format!("size={bytes},mode=0700")).expect("it has no NUL");
        let mounted = mount("tmpfs", folder.path(), "tmpfs", MountFlags::empty(), options.as_c_str());
        if let Err(error) = mounted {
            panic!("a full disk is tested on a tmpfs of its own, and mounting one needs root (CAP_SYS_ADMIN): {error}");
        }
        Self { folder }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.folder.path(), UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.folder.path().display());
        }
    }
}
