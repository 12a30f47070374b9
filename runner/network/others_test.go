package network

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Rules of others are looked at whatever they consist of, and rules of Solopod's get behind them.
func TestRulesOfOthers(t *testing.T) {
	m := newMachine(t, true, true, nil)
	nft := func(program, text string) error {
		cmd := exec.Command(program, "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("this kernel has no %s: %v\n%s", text, err, out)
		}
		return err
	}
	if err := nft("nft", `table inet odd {
	set names { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 }; }
	map where { type inet_service : verdict; elements = { 22 : accept, 23 : drop }; }
	chain own { counter; }
	chain forward { type filter hook forward priority 0; policy drop; }
}`); err != nil {
		t.Fatal(err)
	}
	n := 0
	for rule := range strings.Lines(`ip saddr @names counter accept
tcp dport vmap @where
ct state vmap { invalid : drop, established : continue }
meta l4proto { icmp, ipv6-icmp } limit rate 1/second accept
quota over 10 mbytes drop
tcp option maxseg size set rt mtu
ip6 nexthdr 0 exthdr dst exists counter
meta mark set numgen inc mod 3
meta mark set jhash ip saddr mod 7 seed 0xdeadbeef
tcp dport { 80, 443 } log prefix "web" group 2
udp dport 9 queue num 3 bypass
fib saddr . iif oif missing counter
ct original packets > 10 meta priority set 1:2
meta time "2020-01-01 00:00" - "2021-01-01 00:00" drop
ether saddr aa:bb:cc:dd:ee:ff jump own
ip dscp set cs1
udp dport 7 dup to 10.9.9.9
meter fast { ip saddr limit rate over 10/second } counter
ct count over 1000000 drop
socket transparent 1 accept
osf name "Linux" counter
th dport 1-1023 ip saddr != 10.0.0.0/8 counter
@nh,64,32 0x01020304 counter
ip option ra exists counter
tcp flags syn / syn,ack tcp option sack-perm missing counter
udp dport 67 notrack
tcp dport 8 reject with tcp reset comment "a word"
`) {
		if nft("nft", "add rule inet odd forward "+rule) == nil {
			n++
		}
	}
	if out, err := exec.Command("iptables-nft", "-P", "FORWARD", "DROP").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for rule := range strings.Lines(`-m multiport -p tcp --dports 80,443 -j ACCEPT
-m set --match-set none src -j ACCEPT
-m comment --comment why -m mark --mark 0x1/0x1 -j MARK --set-mark 7
-m statistic --mode random --probability 0.5 -j LOG --log-prefix x
-m hashlimit --hashlimit-above 10/sec --hashlimit-name h -j DROP
-m recent --name seen --set
-m string --string word --algo bm -j DROP
-m owner --uid-owner 0
-m addrtype --dst-type LOCAL -m conntrack --ctstate NEW,RELATED -j ACCEPT
-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu
-p icmp --icmp-type 8 -m limit --limit 1/s -j ACCEPT
-m time --timestart 10:00 --timestop 11:00 -j ACCEPT
-m physdev --physdev-is-bridged -j ACCEPT
-m iprange --src-range 10.0.0.1-10.0.0.9 -j RETURN
-m u32 --u32 0>>22&0x3C@4>>31=0 -j NFLOG
`) {
		args := append([]string{"-A", "FORWARD"}, strings.Fields(rule)...)
		if out, err := exec.Command("iptables-nft", args...).CombinedOutput(); err != nil {
			t.Logf("this kernel has no %s: %s", rule, out)
			continue
		}
		n++
	}
	rules, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "odd"}
	for _, data := range []string{"x", "a word and no comment", "\x00\xff", strings.Repeat("\xff", 256)} { // as some programs write it
		rules.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: "forward", Table: table}, Exprs: []expr.Any{&expr.Counter{}}, UserData: []byte(data)})
	}
	if err := rules.Flush(); err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Fatalf("this kernel took %d rules", n)
	}
	m.watching()
	p := m.attach("web", Port{HostPort: 8080, ContainerPort: 80, Protocol: "TCP"})
	serve(t, p.space, 80, "web")
	for _, ip := range []string{here4, here6} {
		eventually(t, 10*time.Second, "port 8080 of "+ip+" answers", func() bool { _, err := ask(m.neighbor, ip, 8080); return err == nil })
	}
	if m.said("cannot be changed") || m.said(Broken) {
		t.Errorf("told is %q", m.told)
	}
}
