package templates

// Profile is the settings page: POST PathProfile with csrf, name, language,
// theme (system, light, dark), density (comfortable, compact), and zone.
type Profile struct {
	Shell
	// DisplayName is the name on the user's mail.
	DisplayName string
	// Username is shown, not changed.
	Username string
	// Zones offers time zones (IANA names); empty hides the field.
	Zones  []Option
	Errors map[string]string
}

// Shortcuts is the page that lists the keys.
type Shortcuts struct {
	Shell
	// Back is the path of "Close".
	Back string
}
