//! INSTALL \[for install and make selectable\] (GPC 2.3.1, section 11.5.2.3.2).

use super::IssueError;
use super::load::{push_ber_length, push_counted};
use crate::aid::Aid;
use crate::apdu::SHORT_DATA_MAX;
use crate::hex::Hex;
use crate::load_file::LoadFile;
use std::fmt;
use zeroize::Zeroize;

/// Privileges of an application, 1 or 3 bytes (GPC 2.3.1 section 6.6 and table 11-7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Privileges {
    /// The first byte alone.
    Short(u8),
    /// All three.
    Long([u8; 3]),
}

impl Privileges {
    /// None at all.
    pub const NONE: Privileges = Privileges::Short(0);

    /// The privileges that these bytes spell.
    ///
    /// # Errors
    /// Neither 1 nor 3 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, IssueError> {
        match *bytes {
            [a] => Ok(Privileges::Short(a)),
            [a, b, c] => Ok(Privileges::Long([a, b, c])),
            _ => Err(IssueError::Privileges(bytes.len())),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Privileges::Short(byte) => std::slice::from_ref(byte),
            Privileges::Long(bytes) => bytes,
        }
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An instance to make of an applet.
#[derive(Clone, PartialEq, Eq)]
pub struct Install {
    /// The applet, as the package names it.
    pub module: Aid,
    /// The AID under which the instance is selected.
    pub instance: Aid,
    /// Its privileges.
    pub privileges: Privileges,
    /// What the applet's install method gets: the value of tag C9. May be secret; wiped when dropped.
    pub parameters: Vec<u8>,
}

impl Install {
    /// Without privileges and parameters.
    #[must_use]
    pub fn new(module: Aid, instance: Aid) -> Self {
        Install { module, instance, privileges: Privileges::NONE, parameters: Vec::new() }
    }

    /// The data field: package, applet, instance, privileges, parameters, no token.
    pub(super) fn data(&self, package: &Aid) -> Result<Vec<u8>, IssueError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| IssueError::TooLong);
        // The longest INSTALL leaves less than 255 bytes for the parameters: refuse before copying more.
        let too_long = |found| IssueError::InstallTooLong { instance: self.instance, found };
        if self.parameters.len() > SHORT_DATA_MAX {
            return Err(too_long(self.parameters.len()));
        }
        let mut application = vec![0xC9];
        push_ber_length(&mut application, length(&self.parameters)?);
        application.extend_from_slice(&self.parameters);

        let mut data = Vec::with_capacity(2 * SHORT_DATA_MAX);
        for aid in [package, &self.module, &self.instance] {
            push_counted(&mut data, aid.as_bytes())?;
        }
        push_counted(&mut data, self.privileges.as_bytes())?;
        push_ber_length(&mut data, length(&application)?);
        data.extend_from_slice(&application);
        data.push(0);
        application.zeroize();
        if data.len() > SHORT_DATA_MAX {
            let found = data.len();
            data.zeroize();
            return Err(too_long(found));
        }
        Ok(data)
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        self.parameters.zeroize();
    }
}

impl fmt::Debug for Install {
    /// Without the parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {} with privileges {}, ", self.module, self.instance, self.privileges)?;
        write!(f, "{} bytes of parameters", self.parameters.len())
    }
}

/// Refuses what the card would refuse halfway.
pub(crate) fn check(installs: &[Install], package: &Aid, file: &LoadFile<'_>) -> Result<(), IssueError> {
    let mut taken = std::collections::BTreeSet::from([*package]);
    for install in installs {
        if !file.applets().any(|applet| applet.aid == install.module.as_bytes()) {
            let known: Vec<_> = file.applets().map(|applet| Hex(applet.aid).to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(IssueError::UnknownModule { module: install.module, known });
        }
        if !taken.insert(install.instance) {
            return Err(IssueError::InstanceTaken(install.instance));
        }
    }
    Ok(())
}
