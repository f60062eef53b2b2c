package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the linker for a released build: -X main.release=1.2.3.
var release string

// version names the build: the release, or the commit it was made from.
func version() string {
	name := release
	if name == "" {
		name = "development"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return describe(name + " (" + s.Value[:12] + ")")
			}
		}
	}
	return describe(name)
}

func describe(name string) string {
	return fmt.Sprintf("%s %s %s/%s", name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
