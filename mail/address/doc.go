// Package address reads and compares mail addresses: the addr-spec of RFC 5321
// 4.1.2 with the internationalised forms of RFC 6531, domains by IDNA
// (RFC 5891, UTS 46), and the normal form, lookup key and wildcards by which
// WildDuck's database finds an address.
package address
