package gitsource

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

// A proxyServer is for user ada with the password pw, and notes whom it was asked for.
type proxyServer struct {
	address string

	mu    sync.Mutex
	hosts []string
}

func (p *proxyServer) note(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts = append(p.hosts, host)
}

func (p *proxyServer) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts
}

// newHTTPProxy forwards requests to http URLs.
func newHTTPProxy(t *testing.T) *proxyServer {
	t.Helper()
	p := &proxyServer{}
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "pw" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		p.note(r.URL.Host)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.address = server.URL
	return p
}

// newSOCKSProxy speaks SOCKS 5 (RFC 1928, RFC 1929), for IPv4 addresses and names.
func newSOCKSProxy(t *testing.T) *proxyServer {
	t.Helper()
	return newSOCKSProxyAt(t, "127.0.0.1:0")
}

func newSOCKSProxyAt(t *testing.T, address string) *proxyServer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("this system has no such address: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxyServer{address: "socks5://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if err := p.serve(conn); err != nil {
					p.note(err.Error())
				}
			}()
		}
	}()
	return p
}

func (p *proxyServer) serve(conn net.Conn) error {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	read(int(read(2)[1])) // the methods it offers
	if _, err := conn.Write([]byte{5, 2}); err != nil {
		return err
	}
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	if user != "ada" || password != "pw" {
		_, err := conn.Write([]byte{1, 1})
		return err
	}
	if _, err := conn.Write([]byte{1, 0}); err != nil {
		return err
	}
	var host string
	switch kind := read(4)[3]; kind {
	case 1:
		host = netip.AddrFrom4([4]byte(read(4))).String()
	case 3:
		host = string(read(int(read(1)[0])))
	default:
		return fmt.Errorf("unknown kind of address %d", kind)
	}
	port := read(2)
	to := net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1])))
	p.note(to)
	remote, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer func() { _ = remote.Close() }()
	if _, err := conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(remote, conn) }()
	_, _ = io.Copy(conn, remote)
	return nil
}

// through reads the Secret of a proxy.
func through(t *testing.T, address, password string) Proxy {
	t.Helper()
	p, err := ProxyFromSecret(map[string][]byte{"address": []byte(address), "username": []byte("ada"), "password": []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARepositoryIsReadThroughItsProxy(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *proxyServer{"HTTP": newHTTPProxy, "SOCKS": newSOCKSProxy} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			git := gittest.New(t)
			repo := git.Create(t, "app")
			head := repo.Commit("main", "one", map[string]string{"a": "1"})
			p := start(t)
			r, err := newStore(t).Repository(Remote{URL: repo.URL, Proxy: through(t, p.address, "pw")})
			if err != nil {
				t.Fatal(err)
			}
			if rev := fetch(t, r, Ref{}); rev.Commit != head || readFile(t, r, head, "a") != "1" {
				t.Errorf("fetched %v", rev)
			}
			asked := p.asked()
			if len(asked) == 0 || !strings.HasSuffix(git.URL, asked[0]) {
				t.Errorf("the proxy was asked for %v", asked)
			}
			r, err = newStore(t).Repository(Remote{URL: repo.URL, Proxy: through(t, p.address, "wr0ng")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Fetch(t.Context(), Ref{}); err == nil || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("with a wrong password for the proxy: %v", err)
			}
		})
	}
}

func TestARepositoryIsReadOverSSHThroughASOCKSProxy(t *testing.T) {
	t.Parallel()
	server := newSSHServer(t)
	repo := gittest.New(t).Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	url := "ssh://git@" + server.addr + repo.Dir
	auth, err := AuthFromSecret(url, map[string][]byte{"identity": server.identity, "known_hosts": server.knownHosts})
	if err != nil {
		t.Fatal(err)
	}
	p := newSOCKSProxy(t)
	r, err := newStore(t).Repository(Remote{URL: url, Auth: auth, Proxy: through(t, p.address, "pw")})
	if err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, r, Ref{}); rev.Commit != head {
		t.Errorf("fetched %v", rev)
	}
	if asked := p.asked(); len(asked) == 0 || asked[0] != server.addr {
		t.Errorf("the proxy was asked for %v", asked)
	}
	if _, err := newStore(t).Repository(Remote{URL: url, Auth: auth, Proxy: through(t, "http://127.0.0.1:1", "pw")}); err == nil || !strings.Contains(err.Error(), "socks5://") {
		t.Errorf("HTTP's proxies are none for SSH: %v", err)
	}
}

func TestAProxyLeadsToNoAddressThatIsRefused(t *testing.T) {
	t.Parallel()
	p := newSOCKSProxyAt(t, "127.0.0.2:0")
	proxied := through(t, p.address, "pw")
	none := outbound.Addresses{}
	ofProxy := outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}}
	cases := map[string]struct {
		reason    string
		addresses outbound.Addresses
		to        string
	}{
		"Proxy":    {"It is at one itself.", none, "192.0.2.1:22"},
		"Metadata": {"It would ask there.", ofProxy, "169.254.169.254:22"},
		"Number":   {"It may read an address out of it.", ofProxy, "2852039166:22"},
		"Name":     {"It would resolve the name.", ofProxy, "localhost:22"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialer, err := proxied.dialer(tc.addresses)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := dialer.DialContext(t.Context(), "tcp", tc.to)
			if err == nil {
				_ = conn.Close()
			}
			if !errors.Is(err, ErrForbidden) || len(p.asked()) > 0 {
				t.Errorf("%s\ngot %v; the proxy was asked for %v", tc.reason, err, p.asked())
			}
		})
	}
	r, err := newStore(t, Addresses(none)).Repository(Remote{URL: "http://192.0.2.1/a", Proxy: proxied})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("over HTTP: %v", err)
	}
}

func TestWhoNamesAProxySharesNothingWithOthers(t *testing.T) {
	t.Parallel()
	// A proxy of a tenant's own can answer in the remote's stead, by plain http or with a
	// CA of the tenant's: it must not get at what others have fetched.
	s := newStore(t)
	const url = "https://example.com/a"
	of := func(address string, data map[string][]byte) *mirror {
		remote := Remote{URL: url}
		var err error
		if remote.Auth, err = AuthFromSecret(url, data); err != nil {
			t.Fatal(err)
		}
		if address != "" {
			remote.Proxy = through(t, address, "pw")
		}
		r, err := s.Repository(remote)
		if err != nil {
			t.Fatal(err)
		}
		return r.mirror
	}
	direct, proxied := of("", nil), of("http://a:3128", nil)
	if direct == proxied || direct.name == proxied.name {
		t.Error("what came through a proxy is mixed with what did not")
	}
	if proxied != of("http://a:3128", nil) {
		t.Error("the same way leads to two copies")
	}
	if proxied == of("http://b:3128", nil) {
		t.Error("two proxies share a copy")
	}
}

func TestTheSecretOfAProxyIsReadAsFluxDoes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		data   map[string]string
		want   string // the proxy, as it is used
		says   string // the key that an error names
	}{
		"Address":   {"All that is required.", map[string]string{"address": "http://proxy.example.com:3128\n"}, "http://proxy.example.com:3128", ""},
		"Password":  {"Proxies may want one.", map[string]string{"address": "https://proxy.example.com", "username": "ada", "password": "p@w"}, "https://ada:p%40w@proxy.example.com", ""},
		"User":      {"Or a user alone.", map[string]string{"address": "socks5://proxy.example.com", "username": "ada"}, "socks5://ada@proxy.example.com", ""},
		"InAddress": {"As some write it.", map[string]string{"address": "http://ada:p@proxy.example.com/"}, "http://ada:p@proxy.example.com", ""},
		"None":      {"It names nothing.", nil, "", "address"},
		"NoHost":    {"Neither does this.", map[string]string{"address": "http://:3128"}, "", "address"},
		"Scheme":    {"Nobody speaks it.", map[string]string{"address": "ftp://s3cret@proxy"}, "", "address"},
		"NotOne":    {"It is not repeated.", map[string]string{"address": "http://s3cret:%zz@proxy"}, "", "address"},
		"Alone":     {"A password needs a user.", map[string]string{"address": "http://proxy", "password": "s3cret"}, "", "username"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := map[string][]byte{}
			for key, value := range tc.data {
				data[key] = []byte(value)
			}
			p, err := ProxyFromSecret(data)
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s\ngot %v", tc.reason, err)
				}
				return
			}
			if err != nil || p.URL().String() != tc.want {
				t.Errorf("%s\ngot %v, %v", tc.reason, p.URL(), err)
			}
			if shown := fmt.Sprintf("%v %+v %#v %v", p, p, p, Remote{URL: "https://a/b", Proxy: p}); strings.Contains(shown, "ada") {
				t.Errorf("it shows: %s", shown)
			}
		})
	}
}
