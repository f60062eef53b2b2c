package main

import (
	"bytes"
	"os"
	"testing"
)

func TestPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../../docs/docstore.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, want) {
		t.Error("docs/docstore.md is not what the engine serves: run go generate ./embedded/docstore")
	}
	if _, err := fill([]byte("no marks")); err == nil {
		t.Error("a page without marks was filled")
	}
}
