//! Data fields of INSTALL with limits and parameters (GPC 2.3.1 sections 11.5.2.3.1, 11.5.2.3.2 and 11.5.2.3.7).

use super::super::ScriptReason;
use super::options::Options;
use crate::aid::Aid;
use crate::apdu::SHORT_DATA_MAX;
use crate::issue::{Privileges, push_ber_length, push_counted};
use zeroize::Zeroizing;

/// A TLV of one tag byte.
fn push_tlv(out: &mut Vec<u8>, tag: u8, value: &[u8]) -> Result<(), ScriptReason> {
    let length = u32::try_from(value.len()).map_err(|_| ScriptReason::TooLong(value.len()))?;
    out.push(tag);
    push_ber_length(out, length);
    out.extend_from_slice(value);
    Ok(())
}

/// A value behind its length.
fn push_field(out: &mut Vec<u8>, value: &[u8]) -> Result<(), ScriptReason> {
    push_counted(out, value).map_err(|_| ScriptReason::TooLong(value.len()))
}

/// A limit on memory, where the script sets one: tag, two bytes.
fn push_limit(out: &mut Vec<u8>, tag: u8, options: &Options<'_>, option: &'static str) -> Result<(), ScriptReason> {
    let needs = "a number of bytes up to 65535";
    let limit = options.number(option, u32::from(u16::MAX), needs)?;
    let limit = u16::try_from(limit).map_err(|_| ScriptReason::OptionValue { option, needs })?;
    if limit == 0 { Ok(()) } else { push_tlv(out, tag, &limit.to_be_bytes()) }
}

/// Refuses what no short command carries.
fn fitting(data: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, ScriptReason> {
    if data.len() <= SHORT_DATA_MAX { Ok(data) } else { Err(ScriptReason::TooLong(data.len())) }
}

/// INSTALL \[for load\]: package, security domain, no hash, limits, no token.
pub(super) fn for_load(
    package: &Aid,
    domain: Option<&Aid>,
    options: &Options<'_>,
) -> Result<Zeroizing<Vec<u8>>, ScriptReason> {
    let mut system = Vec::new();
    push_limit(&mut system, 0xC6, options, "-nvCodeLimit")?;
    push_limit(&mut system, 0xC7, options, "-vDataLimit")?;
    push_limit(&mut system, 0xC8, options, "-nvDataLimit")?;
    let mut parameters = Vec::new();
    if !system.is_empty() {
        push_tlv(&mut parameters, 0xEF, &system)?;
    }
    let mut data = Zeroizing::new(Vec::new());
    push_field(&mut data, package.as_bytes())?;
    push_field(&mut data, domain.map_or(&[], Aid::as_bytes))?;
    push_field(&mut data, &[])?;
    push_field(&mut data, &parameters)?;
    data.push(0);
    fitting(data)
}

/// INSTALL \[for install\]: package, module, instance, privileges, parameters, no token.
pub(super) fn for_install(
    package: &Aid,
    module: &Aid,
    instance: &Aid,
    options: &Options<'_>,
) -> Result<Zeroizing<Vec<u8>>, ScriptReason> {
    let mut application = options.bytes("-instParam")?;
    application.extend_from_slice(&options.bytes("-sdParam")?);
    let mut system = Zeroizing::new(Vec::new());
    push_limit(&mut system, 0xC7, options, "-vDataLimit")?;
    push_limit(&mut system, 0xC8, options, "-nvDataLimit")?;
    let sim = options.bytes("-simSpecParam")?;
    if !sim.is_empty() {
        push_tlv(&mut system, 0xCA, &sim)?;
    }
    let uicc = options.bytes("-uiccSystemSpecParam")?;
    let mut parameters = Zeroizing::new(Vec::new());
    push_tlv(&mut parameters, 0xC9, &application)?;
    if !system.is_empty() {
        push_tlv(&mut parameters, 0xEF, &system)?;
    }
    if !uicc.is_empty() {
        push_tlv(&mut parameters, 0xEA, &uicc)?;
    }
    let length = u32::try_from(parameters.len()).map_err(|_| ScriptReason::TooLong(parameters.len()))?;
    let mut data = Zeroizing::new(Vec::new());
    for aid in [package, module, instance] {
        push_field(&mut data, aid.as_bytes())?;
    }
    push_field(&mut data, privileges(options)?.as_bytes())?;
    push_ber_length(&mut data, length);
    data.extend_from_slice(&parameters);
    data.push(0);
    fitting(data)
}

/// INSTALL with an instance alone: \[for make selectable\] with its privileges, \[for personalization\] with none.
pub(super) fn for_instance(instance: &Aid, privileges: &[u8]) -> Result<Zeroizing<Vec<u8>>, ScriptReason> {
    let mut data = Zeroizing::new(Vec::new());
    for field in [&[], &[], instance.as_bytes(), privileges, &[], &[]] {
        push_field(&mut data, field)?;
    }
    fitting(data)
}

/// Below 256 the first byte alone, otherwise all three.
pub(super) fn privileges(options: &Options<'_>) -> Result<Privileges, ScriptReason> {
    let number = options.number("-priv", 0xFF_FFFF, "a number of one or three bytes")?;
    let [_, a, b, c] = number.to_be_bytes();
    Ok(if number <= 0xFF { Privileges::Short(c) } else { Privileges::Long([a, b, c]) })
}
