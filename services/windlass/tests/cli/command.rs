//! Running the binary.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::eventually;

/// A process of ours, killed when the test is over.
pub(crate) struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

/// How one ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Starts `windlass` with its state under `home`.
pub(crate) fn start<A: AsRef<OsStr>>(home: &Path, arguments: impl IntoIterator<Item = A>) -> Running {
    let mut program = Command::new(env!("CARGO_BIN_EXE_windlass"));
    program
        .args(arguments)
        .env_remove("WINDLASS_TOKEN")
        .env_remove("WINDLASS_LOG");
    start_program(&mut program, home)
}

/// Starts any program with its state under `home`.
pub(crate) fn start_program(program: &mut Command, home: &Path) -> Running {
    let mut child = program
        .env("XDG_STATE_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = collect(child.stdout.take().unwrap());
    let err = collect(child.stderr.take().unwrap());
    Running { child, out, err }
}

/// Runs `windlass` to its end.
pub(crate) fn run<A: AsRef<OsStr>>(home: &Path, arguments: impl IntoIterator<Item = A>) -> Ended {
    start(home, arguments).wait()
}

impl Running {
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// SIGKILL: nothing of the process gets to run any more.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(mut self) -> Ended {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        // The readers end with the pipes, which no other process has.
        let only = |text: &Arc<Mutex<String>>| {
            eventually("its output is read", || (Arc::strong_count(text) == 1).then_some(()));
            text.lock().unwrap().clone()
        };
        Ended {
            code: status.code(),
            out: only(&self.out),
            err: only(&self.err),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("stdout:\n{}\nstderr:\n{}", self.out(), self.err());
        }
    }
}

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            shared
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    text
}
