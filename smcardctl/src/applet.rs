//! `--applet MODULE[=INSTANCE][,priv=HEX][,params=HEX]`.

use std::str::FromStr;

use smcard_batch::Aid;
use smcard_batch::issue::{Install, Privileges};

use crate::hex;

/// An applet to install, as the command line says it. `Debug` does not show the parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applet(pub(crate) Install);

impl FromStr for Applet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let (module, instance) = {
            let names = parts.next().unwrap_or_default();
            names.split_once('=').unwrap_or((names, names))
        };
        let aid = |text: &str| text.parse::<Aid>().map_err(|error| format!("{text:?}: {error}"));
        let mut install = Install::new(aid(module)?, aid(instance)?);
        let (mut privileges, mut parameters) = (None, None);
        for part in parts {
            let (place, digits) = match part.split_once('=') {
                Some(("priv", digits)) => (&mut privileges, digits),
                Some(("params", digits)) => (&mut parameters, digits),
                // Not the whole part: it may hold parameters that are nobody's business.
                Some((name, _)) => return Err(format!("{name:?} is neither priv nor params")),
                None => return Err("behind a comma stands priv=HEX or params=HEX".to_owned()),
            };
            if place.replace(hex::parse(digits)?).is_some() {
                return Err("priv and params can be given once each".to_owned());
            }
        }
        if let Some(privileges) = privileges {
            install.privileges = Privileges::new(&privileges).map_err(|error| error.to_string())?;
        }
        install.parameters = parameters.unwrap_or_default();
        Ok(Self(install))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applet_has_its_own_aid_unless_told_otherwise() {
        let applet: Applet = "F0534D434152440101".parse().unwrap();
        assert_eq!(applet.0, Install::new(applet.0.module, applet.0.module));
        let applet: Applet = "F0534D434152440101=D2760000850101,params=0102,priv=04".parse().unwrap();
        assert_eq!(applet.0.instance.to_string(), "D2760000850101");
        assert_eq!((applet.0.privileges.as_bytes(), applet.0.parameters.as_slice()), (&[4][..], &[1, 2][..]));
    }

    #[test]
    fn slips_are_named() {
        for (text, says) in [
            ("", "5 to 16 bytes"),
            ("A0000001", "5 to 16 bytes, not 4"),
            ("A000000001=", "5 to 16 bytes, not 0"),
            ("A000000001,", "behind a comma"),
            ("A000000001,priv=0102", "1 or 3 bytes"),
            ("A000000001,privileges=01", "neither priv nor params"),
            ("A000000001,params=0", "half a byte"),
            ("A000000001,priv=01,priv=02", "once each"),
        ] {
            let error = text.parse::<Applet>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn parameters_do_not_show() {
        let applet: Applet = "A000000001,params=C0FFEE".parse().unwrap();
        let shown = format!("{applet:?}").to_uppercase();
        assert!(!shown.contains("C0FFEE") && !shown.contains("192"), "{shown}");
    }
}
