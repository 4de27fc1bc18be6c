"""Which addresses are the public internet (RFC 6890 and its registries)."""

import ipaddress

import pytest

from app.infra.addresses import AllowList, is_public


@pytest.mark.parametrize(
    "address",
    """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 192.0.0.1 192.0.0.9
    192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255
    :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::1 100::1 2001::1 2001:db8::1 2001:10::1 2001:20::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:c0a8:101::
    3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1 ff0e::1
    """.split(),
)
def test_special_use_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    "1.1.1.1 8.8.8.8 93.184.216.34 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808".split(),
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_the_allow_list_names_networks_and_hosts() -> None:
    allow = AllowList(["10.1.0.0/16", "fd00::/8", "Intranet.Example."])
    for host, address, permitted in (
        ("x.example", "10.1.2.3", True),
        ("x.example", "10.2.2.3", False),
        ("x.example", "fd12::1", True),
        ("x.example", "fe80::1", False),
        ("intranet.example", "192.168.0.1", True),
        ("INTRANET.example.", "192.168.0.1", True),
        ("sub.intranet.example", "192.168.0.1", False),
        ("x.example", "8.8.8.8", True),
    ):
        assert allow.permits(host, ipaddress.ip_address(address)) is permitted
    assert not allow.names("x.example", ipaddress.ip_address("8.8.8.8"))
