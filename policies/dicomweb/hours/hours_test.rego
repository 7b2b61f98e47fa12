package dicomweb.hours_test

_hours := {
	"day": {
		"sunday": [{"from": "07:00", "to": "12:00"}, {"from": "13:00", "to": "18:00"}],
		"monday": [{"from": "00:00", "to": "24:00"}],
	},
	"night": {"saturday": [{"from": "22:00", "to": "06:00"}], "sunday": [{"from": "21:30", "to": "06:00"}]},
}

_at(weekday, time) := object.union(
	data.dicomweb.lib.fixture.good,
	{"environment": {"local": {"date": "2026-11-22", "weekday": weekday, "time": time}}},
)

_open(name) if data.dicomweb.hours.open({"hours": name})

test_deny_when_input_is_empty if {
	not _open("day") with input as {} with data.hours as _hours
	data.dicomweb.hours.deny == set() with input as {}
}

test_allow_when_a_role_names_no_hours if {
	data.dicomweb.hours.open({}) with input as {}
	_open("*") with input as {}
}

test_allow_when_within if {
	every moment in [["sunday", "07:00"], ["sunday", "11:59"], ["sunday", "13:00"], ["monday", "00:00"], ["monday", "23:59"]] {
		_open("day") with input as _at(moment[0], moment[1]) with data.hours as _hours
	}
}

test_deny_when_outside if {
	every moment in [["sunday", "06:59"], ["sunday", "12:00"], ["sunday", "18:00"], ["saturday", "08:00"], ["tuesday", "00:00"]] {
		not _open("day") with input as _at(moment[0], moment[1]) with data.hours as _hours
	}
}

test_allow_when_within_over_midnight if {
	every moment in [["saturday", "22:00"], ["sunday", "05:59"], ["sunday", "21:30"], ["monday", "00:00"], ["monday", "05:59"]] {
		_open("night") with input as _at(moment[0], moment[1]) with data.hours as _hours
	}
}

test_deny_when_outside_over_midnight if {
	every moment in [["saturday", "21:59"], ["saturday", "05:00"], ["sunday", "06:00"], ["sunday", "21:29"], ["monday", "06:00"]] {
		not _open("night") with input as _at(moment[0], moment[1]) with data.hours as _hours
	}
}

# A week ends with sunday and begins with monday.
test_allow_when_the_night_is_that_from_sunday_to_monday if {
	every day, next in {
		"monday": "tuesday",
		"tuesday": "wednesday",
		"wednesday": "thursday",
		"thursday": "friday",
		"friday": "saturday",
		"saturday": "sunday",
		"sunday": "monday",
	} {
		one := {"night": {day: [{"from": "22:00", "to": "06:00"}]}}
		_open("night") with input as _at(next, "05:00") with data.hours as one
		not _open("night") with input as _at(day, "05:00") with data.hours as one
	}
}

test_deny_when_hours_are_unknown_or_malformed if {
	every name in ["evening", "", null, false, 1, ["day"]] {
		not _open(name) with input as _at("sunday", "08:00") with data.hours as _hours
	}
	every span in [
		{"from": "7:00", "to": "18:00"},
		{"from": "07:00", "to": "25:00"},
		{"from": "07:00"},
		{"from": 7, "to": "18:00"},
		{"from": "00:00", "to": 24},
		{"from": "08:00", "to": "08:00"},
		"07:00-18:00",
	] {
		not _open("day") with input as _at("sunday", "08:00") with data.hours as {"day": {"sunday": [span]}}
	}
	not _open("day") with input as _at("sunday", "08:00") with data.hours as {}
}

test_deny_when_the_local_time_is_malformed if {
	every local in [
		null,
		{},
		{"weekday": "sunday"},
		{"weekday": "someday", "time": "08:00"},
		{"weekday": "sunday", "time": null},
		{"weekday": "sunday", "time": 8},
		{"weekday": "sunday", "time": ["08:00"]},
		{"weekday": "sunday", "time": ""},
	] {
		i := object.union(object.remove(data.dicomweb.lib.fixture.good, ["environment"]), {"environment": {"local": local}})
		not _open("day") with input as i with data.hours as _hours
	}
}

_roles(hours) := {"radiologist": data.dicomweb.lib.fixture.role({"hours": hours})}

test_deny_when_the_only_role_is_closed if {
	i := _at("sunday", "20:40")
	d := data.dicomweb.authz.decision with input as i with data.hours as _hours with data.roles as _roles("day")
	d == {"allow": false, "reasons": ["outside-hours"], "obligations": []}
	e := data.dicomweb.authz.decision with input as _at("sunday", "08:00")
		with data.hours as _hours
		with data.roles as _roles("day")
	e.allow
}

test_allow_when_another_role_is_open if {
	s := data.dicomweb.lib.fixture.subjects(["radiologist", "always"], {})
	r := object.union(_roles("day"), {"always": data.dicomweb.lib.fixture.role({})})
	i := _at("sunday", "20:40")
	d := data.dicomweb.authz.decision with input as i
		with data.hours as _hours
		with data.roles as r
		with data.subjects as s
	d.allow
}

# That it is too late is no reason where the role would not have permitted it at any time.
test_deny_when_the_role_lacks_the_action_at_any_time if {
	i := object.union(_at("sunday", "20:40"), {"request": {"action": "render"}})
	d := data.dicomweb.authz.decision with input as i with data.hours as _hours with data.roles as _roles("day")
	d == {"allow": false, "reasons": ["action-not-permitted"], "obligations": []}
}

test_visible_is_nothing_outside_hours if {
	i := object.union(_at("sunday", "20:40"), {"rows": [data.dicomweb.lib.fixture.good.resource]})
	data.dicomweb.authz.visible == [] with input as i with data.hours as _hours with data.roles as _roles("day")
	data.dicomweb.authz.visible == [0] with input as i with data.hours as _hours with data.roles as _roles("*")
}
