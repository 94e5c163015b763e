//! Lists of networks in `Match localnetwork`.

use std::net::IpAddr;

use crate::text::sanitise;

/// Networks like `192.0.2.0/24`, separated by commas (`addr_match_cidr_list`).
#[derive(Debug)]
pub(super) struct NetworkList(Vec<(IpAddr, u32)>);

impl NetworkList {
    pub fn new(list: &[u8]) -> Result<Self, String> {
        let list = String::from_utf8_lossy(list);
        list.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(network, bits)| {
            let (network, address, width) = match (network, address) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    (u128::from(network.to_bits()), u128::from(address.to_bits()), 32)
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits(), address.to_bits(), 128),
                _ => return false,
            };
            (network ^ address).checked_shr(width - bits).unwrap_or(0) == 0
        })
    }
}

fn network(text: &str) -> Result<(IpAddr, u32), String> {
    let fault = || format!("has {:?}, not a network like 192.0.2.0/24", sanitise(text));
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| fault())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(fault)?,
        None => width,
    };
    let host_bits = match address {
        IpAddr::V4(address) => {
            u128::from(address.to_bits()) & !u128::MAX.checked_shl(width - bits).unwrap_or(0)
        }
        IpAddr::V6(address) => address.to_bits() & !u128::MAX.checked_shl(width - bits).unwrap_or(0),
    };
    if host_bits != 0 { Err(fault()) } else { Ok((address, bits)) }
}
