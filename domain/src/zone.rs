//! Time zones, by their IANA names.

use jiff::tz::TimeZone;

use crate::Invalid;

/// What stands in the database and is nobody's zone: the one of an installer before the owner has chosen.
const FACTORY: &str = "Factory";

/// Reads the name of a zone. Small letters do not matter; the name is kept as the database writes it.
pub(crate) fn parse(field: &str, name: &str) -> Result<String, Invalid> {
    let named = named(name).and_then(|zone| zone.iana_name().map(str::to_owned));
    named.ok_or_else(|| Invalid::new(field, "must be an IANA time zone such as Europe/Vienna"))
}

/// A zone that was read before; UTC if it has left the database since.
pub fn stored(name: &str) -> TimeZone {
    named(name).unwrap_or(TimeZone::UTC)
}

/// `Etc/Unknown`, by which other systems say that they know none, has no IANA name; `right/...`, `posix/...`,
/// `localtime` and `posixrules` are files beside a database, of which the names of zones are only some.
fn named(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok()?;
    let is_file = |name: &str| {
        ["right/", "posix/", "SystemV/"].iter().any(|folder| name.starts_with(folder))
            || ["localtime", "posixrules", FACTORY].contains(&name)
    };
    zone.iana_name().filter(|name| !is_file(name))?;
    Some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_one_of_a_place_or_an_offset_and_has_its_own_name() {
        let zones = [
            ("Europe/Vienna", "Europe/Vienna"),
            ("europe/vienna", "Europe/Vienna"),
            ("AMERICA/argentina/BUENOS_AIRES", "America/Argentina/Buenos_Aires"),
            ("utc", "UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("EST5EDT", "EST5EDT"),
        ];
        for (written, name) in zones {
            assert_eq!(parse("time_zone", written).as_deref(), Ok(name), "{written}");
        }
        let none = [
            "",
            " ",
            "-",
            "/",
            "Factory",
            "factory",
            "FACTORY",
            "Etc/Unknown",
            "etc/unknown",
            "localtime",
            "posixrules",
            "right/Europe/Vienna",
            "posix/Europe/Vienna",
            "Mars/Olympus",
            "Europe",
            "Europe/",
            "Europe/Vienna ",
            " Europe/Vienna",
            "Europe//Vienna",
            "../Europe/Vienna",
            "Local",
            "Unknown",
            "+02:00",
            "UTC+2",
            "CEST-2",
            "2026e",
            "tzdata.zi",
            "Europe/Vienna\0",
            "<+02>-2",
        ];
        for name in none {
            assert!(parse("time_zone", name).is_err(), "{name}");
        }
        assert_eq!(stored("Factory"), TimeZone::UTC);
    }
}
