//! A file of flags, as the customers in it meet it.

use std::fs;

use anyhow::Result;
use lab::{
    Family, Host,
    dialogue::{End, end_of},
    peers::postfix::Postfix,
    relay::Options,
};

use crate::{MX1, RELAY, connect, greeter, lab_up, start};

#[test]
fn a_file_diverts_and_stops_whom_it_names_and_nobody_else() -> Result<()> {
    let lab = lab_up("ogtimport")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    let [a4, a6] = Family::ALL.map(|family| Host::CustomerA.address(family));
    let file = gate.files().state.join("flags.csv");
    let import = |text: String| -> Result<()> {
        fs::write(&file, text)?;
        let path = file.display().to_string();
        gate.must(&["flag", "import", "--override-guard", "a test", &path])?;
        Ok(())
    };

    import(format!(
        "prefix,reason,action\n{a4},spam,redirect\n{a6},spam,redirect\n"
    ))?;
    for family in Family::ALL {
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, RELAY);
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    import(format!(
        "prefix,reason,action,cut\n{a4},spam,reset,yes\n{a6},spam,reset,yes\n"
    ))?;
    for family in Family::ALL {
        let refused = connect(&lab, Host::CustomerA, Host::Mx1, family);
        assert_eq!(
            refused.map_err(|error| end_of(&error)).unwrap_err(),
            Some(End::Refused)
        );
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    Ok(())
}
