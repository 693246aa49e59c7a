//! The registers that CMD36 (SEND_PSI) delivers: status and properties. Typed views of 32 bytes.

use std::fmt;

/// Bytes of a register. Some cards send it at the front of a block of 512.
pub const PSI_LENGTH: usize = 32;

/// The registers, by the argument of CMD36.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// SR.
    Status = 0,
    /// PR.
    Properties = 4,
    /// RNR; nobody is known to read it.
    Random = 6,
}

impl Register {
    /// The register with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Register::Status),
            4 => Some(Register::Properties),
            6 => Some(Register::Random),
            _ => None,
        }
    }
}

/// Where a secure command stands (SR byte 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecureState {
    /// Nothing is outstanding.
    Idle = 0,
    /// The secure core is working on a command.
    InProgress = 1,
    /// Its answer waits for CMD34.
    Complete = 2,
    /// It was aborted; whether the core executed it is not known.
    Aborted = 3,
}

/// Error states (SR byte 1).
pub mod error {
    /// No error.
    pub const NONE: u8 = 0;
    /// Authentication.
    pub const AUTHENTICATION: u8 = 1;
    /// Area not found.
    pub const AREA_NOT_FOUND: u8 = 2;
    /// Range over.
    pub const RANGE_OVER: u8 = 3;
    /// Condition error.
    pub const CONDITION: u8 = 4;
}

/// The status register.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(pub [u8; PSI_LENGTH]);

impl Status {
    /// Where the secure command stands; the raw byte where it is none of the four.
    ///
    /// # Errors
    /// The byte.
    pub const fn state(&self) -> Result<SecureState, u8> {
        Ok(match self.0[0] {
            0 => SecureState::Idle,
            1 => SecureState::InProgress,
            2 => SecureState::Complete,
            3 => SecureState::Aborted,
            other => return Err(other),
        })
    }

    /// Why it was aborted or refused ([`error`]).
    #[must_use]
    pub const fn error(&self) -> u8 {
        self.0[1]
    }

    /// The security system itself has failed.
    #[must_use]
    pub const fn system_error(&self) -> bool {
        self.0[2] & 0x80 != 0
    }

    /// State of the protected memory. The codings are ours: 0 nothing outstanding, 1 working, 2 a result waits.
    #[must_use]
    pub const fn memory_state(&self) -> u8 {
        self.0[3]
    }

    /// The active security system (2.x).
    #[must_use]
    pub const fn system(&self) -> u8 {
        self.0[6]
    }

    /// How many blocks CMD34 should ask for; 0: not said.
    #[must_use]
    pub const fn read_blocks(&self) -> u16 {
        u16::from_be_bytes([self.0[8], self.0[9]])
    }

    /// The suspended security systems, bit n = index n.
    #[must_use]
    pub const fn suspended(&self) -> u16 {
        u16::from_be_bytes([self.0[10], self.0[11]])
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SR ")?;
        match self.state() {
            Ok(SecureState::Idle) => f.write_str("idle")?,
            Ok(SecureState::InProgress) => f.write_str("in progress")?,
            Ok(SecureState::Complete) => f.write_str("complete")?,
            Ok(SecureState::Aborted) => f.write_str("aborted")?,
            Err(other) => write!(f, "state {other:02X}")?,
        }
        match self.error() {
            error::NONE => {}
            error::AUTHENTICATION => f.write_str(", authentication error")?,
            error::AREA_NOT_FOUND => f.write_str(", area not found")?,
            error::RANGE_OVER => f.write_str(", range over")?,
            error::CONDITION => f.write_str(", condition error")?,
            other => write!(f, ", error {other:02X}")?,
        }
        if self.system_error() {
            f.write_str(", security system error")?;
        }
        if self.memory_state() != 0 {
            write!(f, ", memory state {}", self.memory_state())?;
        }
        write!(f, ", system {}", self.system())
    }
}

/// Version of the secure command set (PR byte 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(pub u8);

impl Version {
    /// 1.0.
    pub const V1_0: Version = Version(0);
    /// 1.1.
    pub const V1_1: Version = Version(1);
    /// 2.0.
    pub const V2_0: Version = Version(2);

    /// As people write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.0 {
            0 => "1.0",
            1 => "1.1",
            2 => "2.0",
            3 => "3.0",
            _ => "unknown",
        }
    }
}

/// The properties register.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Properties(pub [u8; PSI_LENGTH]);

impl Properties {
    /// Time until CMD34 sends its block, in 250 ms; 0: not said.
    #[must_use]
    pub const fn read_latency(&self) -> u8 {
        self.0[0]
    }

    /// Time until a command is complete, in 250 ms; 0: not said.
    #[must_use]
    pub const fn write_latency(&self) -> u8 {
        self.0[1]
    }

    /// Version of the command set.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version(self.0[2])
    }

    /// True where there is protected memory: CMD50 and CMD57 work.
    #[must_use]
    pub const fn has_protected_memory(&self) -> bool {
        self.0[4] & 1 == 1
    }

    /// Longest read of protected memory, in 100 ms; 0: not said.
    #[must_use]
    pub const fn memory_read_time(&self) -> u8 {
        self.0[5]
    }

    /// Longest write of protected memory, in 250 ms; 0: not said.
    #[must_use]
    pub const fn memory_write_time(&self) -> u8 {
        self.0[6]
    }

    /// Longest busy after CMD35, in 250 ms; 0: not said.
    #[must_use]
    pub const fn write_busy(&self) -> u8 {
        self.0[7]
    }

    /// The security systems, bit n = index n (from 2.0 on).
    #[must_use]
    pub const fn systems(&self) -> u16 {
        u16::from_be_bytes([self.0[12], self.0[13]])
    }

    /// Longest busy after CMD37, in 250 ms (from 2.0 on); 0: not said.
    #[must_use]
    pub const fn control_busy(&self) -> u8 {
        self.0[15]
    }

    /// The security systems that can be suspended, bit n = index n.
    #[must_use]
    pub const fn suspendible(&self) -> u16 {
        u16::from_be_bytes([self.0[16], self.0[17]])
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PR version {}, latencies {} {}, busy {} {}, systems {:04X}, protected memory {}",
            self.version().word(),
            self.read_latency(),
            self.write_latency(),
            self.write_busy(),
            self.control_busy(),
            self.systems(),
            if self.has_protected_memory() { "yes" } else { "no" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_drivers_read_them() {
        let mut bytes = [0; PSI_LENGTH];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(at).unwrap();
        }
        let status = Status(bytes);
        assert_eq!(status.state(), Ok(SecureState::Idle));
        assert_eq!((status.error(), status.memory_state(), status.system()), (1, 3, 6));
        assert_eq!((status.read_blocks(), status.suspended()), (0x0809, 0x0A0B));
        let properties = Properties(bytes);
        assert_eq!((properties.read_latency(), properties.write_latency()), (0, 1));
        assert_eq!(properties.version(), Version::V2_0);
        assert!(!properties.has_protected_memory());
        assert_eq!((properties.memory_read_time(), properties.memory_write_time()), (5, 6));
        assert_eq!((properties.write_busy(), properties.control_busy()), (7, 15));
        assert_eq!((properties.systems(), properties.suspendible()), (0x0C0D, 0x1011));
    }

    #[test]
    fn a_status_reads_as_words() {
        let mut bytes = [0; PSI_LENGTH];
        bytes[..3].copy_from_slice(&[3, 4, 0x80]);
        assert_eq!(format!("{:?}", Status(bytes)), "SR aborted, condition error, security system error, system 0");
        bytes[0] = 9;
        assert_eq!(Status(bytes).state(), Err(9));
    }
}
