//! CMD6: the function groups (PLSS section 4.3.10).

use super::profile::Profile;
use smcard_link::sd::{NOT_POSSIBLE, SwitchArgument, SwitchStatus};

/// Function 0 and the bit that is always set.
const DEFAULT_ONLY: u16 = 0x8001;
/// Largest current in mA.
const CURRENT: u16 = 100;
/// "Keep".
const KEEP: u8 = 0xF;

/// The functions in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Functions {
    /// Group 1: 0 default speed, 1 high speed.
    pub(crate) access_mode: u8,
    /// Group 2: 0 memory only, 1 and 4 ASSD.
    pub(crate) command_system: u8,
    /// Settings of group 2 that will still find it busy.
    pub(crate) busy: u32,
}

impl Functions {
    /// As after power-on or CMD0; how often group 2 is busy is not counted anew.
    pub(crate) fn reset(&mut self) {
        self.access_mode = 0;
        self.command_system = 0;
    }

    fn supported(profile: &Profile, group: u8) -> u16 {
        match group {
            1 => DEFAULT_ONLY | 1 << 1,
            // As a card that is known to lie does it: functions 0, 1 and 6.
            2 if profile.switch_echo => DEFAULT_ONLY | 1 << 1 | 1 << 6,
            2 => DEFAULT_ONLY | profile.functions,
            _ => DEFAULT_ONLY,
        }
    }

    fn current(self, group: u8) -> u8 {
        match group {
            1 => self.access_mode,
            2 => self.command_system,
            _ => 0,
        }
    }

    /// Answers CMD6 and, where it says so, switches: all groups or none.
    pub(crate) fn switch(&mut self, argument: SwitchArgument, profile: &Profile) -> SwitchStatus {
        let mut status = SwitchStatus::new();
        status.set_current(CURRENT);
        let mut next = *self;
        let mut possible = true;
        for group in 1..=6 {
            let supported = Self::supported(profile, group);
            status.set_supported(group, supported);
            let asked = match argument.group(group) {
                KEEP => self.current(group),
                function => function,
            };
            let echoed = profile.switch_echo && group == 2;
            if supported >> asked & 1 == 0 && !echoed {
                possible = false;
                status.set_result(group, NOT_POSSIBLE);
                continue;
            }
            let mut result = asked;
            if group == 2 && asked != self.command_system && self.busy > 0 {
                next.busy = self.busy - u32::from(argument.is_set());
                status.set_busy(group, asked);
                result = self.command_system;
            }
            status.set_result(group, result);
            match group {
                1 => next.access_mode = result,
                2 if !echoed => next.command_system = result,
                _ => {}
            }
        }
        if !possible {
            status.set_current(0);
        } else if argument.is_set() {
            *self = next;
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smcard_link::sd::Function;

    #[test]
    fn checking_changes_nothing_and_setting_does() {
        let (mut functions, profile) = (Functions::default(), Profile::default());
        let status = functions.switch(SwitchArgument::QUERY, &profile);
        assert_eq!((status.supported(2), status.result(2)), (0x8013, 0));
        assert!(status.current() > 0 && status.0[17] == 1);
        assert_eq!(functions.switch(SwitchArgument(0x00FF_FF4F), &profile).result(2), 4);
        assert_eq!(functions, Functions::default());
        assert_eq!(functions.switch(SwitchArgument::set(Function::Assd2), &profile).result(2), 4);
        assert_eq!(functions.command_system, 4);
        assert_eq!(functions.switch(SwitchArgument(0x80FF_FFF1), &profile).result(2), 4);
        assert_eq!((functions.access_mode, functions.command_system), (1, 4));
    }

    #[test]
    fn one_group_that_cannot_switches_none() {
        let (mut functions, profile) = (Functions::default(), Profile::default());
        let status = functions.switch(SwitchArgument(0x80FF_FF45), &profile);
        assert_eq!((status.result(1), status.result(2), status.current()), (NOT_POSSIBLE, 4, 0));
        assert_eq!(functions, Functions::default());
        let status = functions.switch(SwitchArgument(0x80FF_F341), &profile);
        assert_eq!(status.result(3), NOT_POSSIBLE);
        assert_eq!(functions, Functions::default());
    }

    #[test]
    fn a_busy_system_says_so_and_stays_where_it_is() {
        let profile = Profile::default();
        let mut functions = Functions { busy: 1, ..Functions::default() };
        let status = functions.switch(SwitchArgument::set(Function::Assd1), &profile);
        assert!(status.is_busy(2, 1) && status.result(2) == 0);
        let status = functions.switch(SwitchArgument::set(Function::Assd1), &profile);
        assert!(!status.is_busy(2, 1) && status.result(2) == 1);
    }

    #[test]
    fn a_card_that_echoes_stays_what_it_is() {
        let profile = Profile::from_word("echo").unwrap();
        let mut functions = Functions::default();
        assert_eq!(functions.switch(SwitchArgument::QUERY, &profile).supported(2), 0x8043);
        assert_eq!(functions.switch(SwitchArgument::set(Function::Assd2), &profile).result(2), 4);
        assert_eq!(functions, Functions::default());
    }
}
