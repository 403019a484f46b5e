//! An authority that vouches for names, for whoever is told to trust it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{lab::Lab, process::checked};

/// One that the lab has made.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes it.
    ///
    /// # Errors
    /// As `openssl` says.
    pub fn new(lab: &Lab) -> Result<Self> {
        let dir = lab.dir().join("authority");
        fs::create_dir_all(&dir)?;
        let this = Self { dir };
        checked(
            Command::new("openssl")
                .args(["req", "-x509", "-nodes", "-days", "2"])
                .args(["-subj", "/CN=Authority of the lab"])
                .args(KEY)
                .arg("-keyout")
                .arg(this.dir.join("key.pem"))
                .arg("-out")
                .arg(this.certificate()),
        )?;
        Ok(this)
    }

    /// What those who trust it are given.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// Makes `key.pem` and `cert.pem` for a name, in a directory, in the place of what is there.
    ///
    /// # Errors
    /// As `openssl` says.
    pub fn issue(&self, dir: &Path, name: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        let (request, names) = (self.dir.join("request.pem"), self.dir.join("names"));
        fs::write(&names, format!("subjectAltName = DNS:{name}\n"))?;
        checked(
            Command::new("openssl")
                .args(["req", "-nodes", "-subj", &format!("/CN={name}")])
                .args(KEY)
                .arg("-keyout")
                .arg(dir.join("key.pem"))
                .arg("-out")
                .arg(&request),
        )?;
        checked(
            Command::new("openssl")
                .args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
                .arg(&request)
                .arg("-CA")
                .arg(self.certificate())
                .arg("-CAkey")
                .arg(self.dir.join("key.pem"))
                .arg("-extfile")
                .arg(&names)
                .arg("-out")
                .arg(dir.join("cert.pem")),
        )?;
        Ok(())
    }
}

const KEY: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
