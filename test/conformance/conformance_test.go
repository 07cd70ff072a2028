// Package conformance drives containerd's snapshotter suite over its proxy
// against a socket, given by FIRSTLIGHT_SOCKET.
package conformance

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/mount"
	_ "github.com/containerd/containerd/pkg/testutil" // defines -test.root
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

// The suite gives each case a snapshotter of its own, and runs cases at the same
// time with the same keys. All of ours are one daemon, so each case gets a prefix.
type prefixed struct {
	inner  snapshots.Snapshotter
	prefix string
}

func (p *prefixed) in(name string) string {
	if name == "" {
		return ""
	}
	return p.prefix + name
}

func (p *prefixed) out(info snapshots.Info) snapshots.Info {
	info.Name = strings.TrimPrefix(info.Name, p.prefix)
	info.Parent = strings.TrimPrefix(info.Parent, p.prefix)
	return info
}

func (p *prefixed) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := p.inner.Stat(ctx, p.in(key))
	return p.out(info), err
}

func (p *prefixed) Update(ctx context.Context, info snapshots.Info, fields ...string) (snapshots.Info, error) {
	info.Name = p.in(info.Name)
	info.Parent = p.in(info.Parent)
	info, err := p.inner.Update(ctx, info, fields...)
	return p.out(info), err
}

func (p *prefixed) Usage(ctx context.Context, key string) (snapshots.Usage, error) {
	return p.inner.Usage(ctx, p.in(key))
}

func (p *prefixed) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	return p.inner.Mounts(ctx, p.in(key))
}

func (p *prefixed) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return p.inner.Prepare(ctx, p.in(key), p.in(parent), opts...)
}

func (p *prefixed) View(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	return p.inner.View(ctx, p.in(key), p.in(parent), opts...)
}

func (p *prefixed) Commit(ctx context.Context, name, key string, opts ...snapshots.Opt) error {
	return p.inner.Commit(ctx, p.in(name), p.in(key), opts...)
}

func (p *prefixed) Remove(ctx context.Context, key string) error {
	return p.inner.Remove(ctx, p.in(key))
}

// Names in filters get the prefix, and every filter asks for it, so that the daemon
// does the filtering and other cases stay out of sight.
func (p *prefixed) Walk(ctx context.Context, fn snapshots.WalkFunc, filters ...string) error {
	mine := fmt.Sprintf("name~=%q", "^"+p.prefix)
	if len(filters) == 0 {
		filters = []string{mine}
	}
	var translated []string
	for _, f := range filters {
		var parts []string
		for _, part := range strings.Split(f, ",") {
			for _, field := range []string{"name==", "parent=="} {
				if rest := strings.TrimPrefix(part, field); rest != part {
					part = field + p.in(rest)
				}
			}
			parts = append(parts, part)
		}
		if f != mine {
			parts = append(parts, mine)
		}
		translated = append(translated, strings.Join(parts, ","))
	}
	return p.inner.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		return fn(ctx, p.out(info))
	}, translated...)
}

func (p *prefixed) Close() error { return p.inner.Close() }

func (p *prefixed) Cleanup(ctx context.Context) error {
	return p.inner.(snapshots.Cleaner).Cleanup(ctx)
}

// Leaves nothing of a case behind: children go before their parents.
func (p *prefixed) removeAll(ctx context.Context) error {
	for {
		var names []string
		err := p.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			names = append(names, info.Name)
			return nil
		})
		if err != nil || len(names) == 0 {
			return err
		}
		removed := 0
		for _, name := range names {
			if err = p.Remove(ctx, name); err == nil {
				removed++
			}
		}
		if removed == 0 {
			return err
		}
	}
}

func TestConformance(t *testing.T) {
	if !flag.Parsed() {
		flag.Parse()
	}
	socket := os.Getenv("FIRSTLIGHT_SOCKET")
	if socket == "" {
		t.Fatal("FIRSTLIGHT_SOCKET is not set; run test/conformance/run.sh")
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := grpc.DialContext(ctx, socket, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatalf("nobody answers on %s: %v", socket, err)
	}
	t.Cleanup(func() { conn.Close() })

	var cases int32
	// By this name the suite knows what overlayfs cannot do, whoever mounts it: rename
	// directories of lower layers.
	testsuite.SnapshotterSuite(t, "overlayfs", func(ctx context.Context, _ string) (snapshots.Snapshotter, func() error, error) {
		p := &prefixed{
			inner:  proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "firstlight"),
			prefix: fmt.Sprintf("case-%d-", atomic.AddInt32(&cases, 1)),
		}
		return p, func() error {
			if err := p.removeAll(context.Background()); err != nil {
				return err
			}
			return p.Cleanup(context.Background())
		}, nil
	})
}
