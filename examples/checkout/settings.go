package main

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// settings are what the environment says.
type settings struct {
	address    string
	app        string
	errorRatio float64       // from 0 to 1
	latency    time.Duration // of every request
	selfLoad   float64       // requests per second
}

// maxSelfLoad keeps a typing error from becoming an attack on oneself.
const maxSelfLoad = 1000

// readSettings reads every variable that is set; what cannot be used is an error.
func readSettings(getenv func(string) string) (settings, error) {
	s := settings{
		address: cmp.Or(getenv("ADDRESS"), ":8080"),
		app:     cmp.Or(getenv("APP"), "checkout"),
	}
	var err error
	if s.errorRatio, err = number("ERROR_RATIO", getenv("ERROR_RATIO"), 1); err != nil {
		return settings{}, err
	}
	if s.selfLoad, err = number("SELF_LOAD", getenv("SELF_LOAD"), maxSelfLoad); err != nil {
		return settings{}, err
	}
	if s.latency, err = time.ParseDuration(cmp.Or(getenv("LATENCY"), "0")); err != nil || s.latency < 0 {
		return settings{}, fmt.Errorf("LATENCY %q is not a time as 250ms", getenv("LATENCY"))
	}
	return s, nil
}

// number reads a value from 0 to limit; an empty one is 0.
func number(name, value string, limit float64) (float64, error) {
	n, err := strconv.ParseFloat(cmp.Or(value, "0"), 64)
	if err != nil || !(n >= 0 && n <= limit) { // written so that NaN is refused
		return 0, fmt.Errorf("%s %q is not a number from 0 to %g", name, value, limit)
	}
	return n, nil
}
