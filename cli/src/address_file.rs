//! A file that tells others the address of an inbox.

use crate::failure::{Failure, Result, Status};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct AddressFile {
    path: PathBuf,
    text: String,
}

impl AddressFile {
    /// Puts it there as a whole, in the place of what is there.
    pub fn write(path: &Path, address: sendfd_core::Address) -> Result<AddressFile> {
        let file = AddressFile { path: path.to_owned(), text: format!("{address}\n") };
        file.put().map_err(|error| {
            let shown = path.display();
            Failure::new(Status::Refused, format_args!("--address-file {shown}: {error}"))
        })?;
        Ok(file)
    }

    fn put(&self) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        fs::write(&beside, &self.text)?;
        fs::rename(&beside, &self.path).inspect_err(|_| drop(fs::remove_file(&beside)))
    }

    /// Nobody is to come any more; unless a successor has put its own address there.
    pub fn remove(self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
