//go:build race

package message

const raceDetector = true
