package seal_test

// vectors were made by running WildDuck 1.51.1.
var vectors = []struct{ name, secret, legacy, sealed, clear string }{
	{"new form", "correct horse", "", "$wd01$aes-256-gcm$2868abe2d46a0b1a3dd719b87060f8b6$8e1c831eacc55059c9219ce8$73163eb7b97fa66f70ed6891a9a6adbd$f0ce407048fc7ca51d1ebd22276ff63b897150ce38", "seed JBSWY3DPEHPK3PXP"},
	{"new form, not ASCII", "Geheimnis äöü", "", "$wd01$aes-256-gcm$e7448417abc64f5f841215d2c22e5524$b882094f174d9d83143a1c4c$9452f505164e4b59538f75f3b41dfc89$63ce40a84283d012d4f6533874a365c09d", "тайна 秘密"},
	{"new form, empty", "s", "", "$wd01$aes-256-gcm$4fa81aad8407c2931165ba1ba3c5003d$82871a17d32a065fedef7541$eb7e3a56c4615648f55f5b1f08b10089$", ""},
	{"old form, aes192", "correct horse", "aes192", "$6cbc52a5d4bc58cec20b510400aaf8199b567351501c32637f9ff94ce9c8e459", "-----BEGIN PRIVATE KEY-----\nabc"},
	{"old form, aes128", "correct horse", "aes128", "$a8d03b9bf7a8f33a3ed74cb31372a37c637c550cba4146a9d1115b569fb64df6", "-----BEGIN PRIVATE KEY-----\nabc"},
	{"old form, aes256", "correct horse", "aes256", "$97b936f21f32fff4c1deb8067ab65de430faa6747881d7e9198d9fbd2355ce30", "-----BEGIN PRIVATE KEY-----\nabc"},
	{"old form, not ASCII", "Geheimnis äöü", "aes192", "$8259d9669bd035bf897dae7ef293461b", "x"},
}
