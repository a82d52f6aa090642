//! What is tried over the network, in WASI's own words: not every libc for WASI has sockets.

use std::net::{IpAddr, SocketAddr};

use wasip2::sockets::{
    instance_network::instance_network,
    ip_name_lookup::resolve_addresses,
    network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
    tcp::TcpSocket,
    tcp_create_socket::create_tcp_socket,
    udp::{OutgoingDatagram, UdpSocket},
    udp_create_socket::create_udp_socket,
};
use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    io::poll::{Pollable, poll},
};

/// What `send` waits for a datagram. Unit: nanoseconds.
const ANSWER: u64 = 1_000_000_000;

pub(crate) fn connect(address: &str) -> Result<String, String> {
    let address = parse(address)?;
    let socket = create_tcp_socket(family(address)).map_err(told)?;
    socket.start_connect(&instance_network(), wasi(address)).map_err(told)?;
    let (input, output) = finished(&socket.subscribe(), || socket.finish_connect())?;
    let mut bytes = Vec::new();
    while let Ok(more) = input.blocking_read(1 << 16) {
        bytes.extend(more);
    }
    drop((input, output));
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn listen(address: &str) -> Result<String, String> {
    let address = parse(address)?;
    let socket = create_tcp_socket(family(address)).map_err(told)?;
    bind_tcp(&socket, address)?;
    socket.start_listen().map_err(told)?;
    finished(&socket.subscribe(), || socket.finish_listen())?;
    Ok("listens".to_owned())
}

fn bind_tcp(socket: &TcpSocket, address: SocketAddr) -> Result<(), String> {
    socket.start_bind(&instance_network(), wasi(address)).map_err(told)?;
    finished(&socket.subscribe(), || socket.finish_bind())
}

pub(crate) fn lookup(name: &str) -> Result<String, String> {
    let addresses = resolve_addresses(&instance_network(), name).map_err(told)?;
    let pollable = addresses.subscribe();
    let mut all = Vec::new();
    while let Some(address) = finished(&pollable, || addresses.resolve_next_address())? {
        all.push(match address {
            IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]).to_string(),
            IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]).to_string(),
        });
    }
    all.sort();
    all.dedup();
    Ok(all.join(" "))
}

pub(crate) fn bind(address: &str) -> Result<String, String> {
    bound(parse(address)?).map(|_| "bound".to_owned())
}

fn bound(address: SocketAddr) -> Result<UdpSocket, String> {
    let socket = create_udp_socket(family(address)).map_err(told)?;
    socket.start_bind(&instance_network(), wasi(address)).map_err(told)?;
    finished(&socket.subscribe(), || socket.finish_bind())?;
    Ok(socket)
}

pub(crate) fn send(address: &str) -> Result<String, String> {
    let socket = bound(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    let (incoming, outgoing) = socket.stream(None).map_err(told)?;
    outgoing.subscribe().block();
    outgoing.check_send().map_err(told)?;
    let datagram = OutgoingDatagram { data: b"ping".to_vec(), remote_address: Some(wasi(parse(address)?)) };
    outgoing.send(&[datagram]).map_err(told)?;
    let (answer, over) = (incoming.subscribe(), subscribe_duration(ANSWER));
    loop {
        if let [datagram, ..] = &*incoming.receive(1).map_err(told)? {
            return Ok(String::from_utf8_lossy(&datagram.data).into_owned());
        }
        if poll(&[&answer, &over]).contains(&1) {
            return Err("no answer".to_owned());
        }
    }
}

/// Waits as long as the answer is that one has to wait.
fn finished<T>(pollable: &Pollable, finish: impl Fn() -> Result<T, ErrorCode>) -> Result<T, String> {
    loop {
        match finish() {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            done => return done.map_err(told),
        }
    }
}

fn told(error: ErrorCode) -> String {
    error.name().to_owned()
}

fn parse(address: &str) -> Result<SocketAddr, String> {
    address.parse().map_err(|_| format!("`{address}` is no address"))
}

fn family(address: SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

fn wasi(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) })
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}
