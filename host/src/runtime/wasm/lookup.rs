//! `wasi:sockets/ip-name-lookup`, for the names that are granted.
//!
//! wasmtime-wasi lets a guest look up every name or none, and does not tell which addresses it got. This stands
//! before its implementation, refuses the names that are not granted, and notes the answers to the others.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use forebay_proto::pipeline::Grants;
use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::{
    p2::{
        DynPollable, SocketError,
        bindings::sockets::{
            ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream},
            network::{self, ErrorCode, IpAddress, Network},
        },
    },
    sockets::WasiSocketsCtxView,
};

use super::access::Found;

/// The look-ups of one instance.
pub(super) struct Lookups {
    grants: Arc<Grants>,
    found: Found,
    /// The names of those under way, by the number of their handle; at most as many as a guest may hold handles.
    names: HashMap<u32, String>,
}

/// An instance's look-ups as its calls see them.
pub(super) struct LookupsView<'s> {
    pub(super) lookups: &'s mut Lookups,
    pub(super) sockets: WasiSocketsCtxView<'s>,
}

/// Names [`LookupsView`] to wasmtime.
pub(super) struct LookupsData;

impl HasData for LookupsData {
    type Data<'s> = LookupsView<'s>;
}

impl Lookups {
    pub(super) fn new(grants: Arc<Grants>, found: Found) -> Self {
        Self { grants, found, names: HashMap::new() }
    }
}

impl network::HostNetwork for LookupsView<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl network::Host for LookupsView<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime_wasi::p2::bindings::io::error::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl Host for LookupsView<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        // An address in the place of a name leaves this host as little as one that is connected to.
        if !self.lookups.grants.may_resolve(&name) && name.parse::<IpAddr>().is_err() {
            return Err(ErrorCode::AccessDenied.into());
        }
        let stream = self.sockets.resolve_addresses(network, name.clone())?;
        self.lookups.names.insert(stream.rep(), name);
        Ok(stream)
    }
}

impl HostResolveAddressStream for LookupsView<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let number = stream.rep();
        let next = self.sockets.resolve_next_address(stream)?;
        if let (Some(address), Some(name)) = (&next, self.lookups.names.get(&number)) {
            self.lookups.found.add(&self.lookups.grants, name, ip(address));
        }
        Ok(next)
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.sockets.subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.lookups.names.remove(&stream.rep());
        HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

fn ip(address: &IpAddress) -> IpAddr {
    match *address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}
