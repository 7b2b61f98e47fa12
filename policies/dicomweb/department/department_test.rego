package dicomweb.department_test

_denied(code) := {"allow": false, "reasons": [code], "obligations": []}

# What is decided about the radiologist whose profile and one role have these boundaries.
_decision(profile, role, request, resource) := d if {
	s := data.dicomweb.lib.fixture.subjects(["one"], profile)
	r := {"one": data.dicomweb.lib.fixture.role(role)}
	i := object.union(data.dicomweb.lib.fixture.good, {"request": request, "resource": resource})
	d := data.dicomweb.authz.decision with input as i with data.subjects as s with data.roles as r
}

_radiology := {"departments": ["Radiology"]}

test_deny_when_input_is_empty if {
	data.dicomweb.department.deny == {"department-not-granted"} with input as {}
}

test_allow_when_no_departments_are_named if {
	every departments in [["Radiology"], ["Psychiatry", "Radiology"], [""], []] {
		_decision({}, {}, {}, {"departments": departments}).allow
		_decision({"departments": "*"}, {"departments": "*"}, {}, {"departments": departments}).allow
	}
}

test_allow_when_every_department_is_granted if {
	every pair in [[_radiology, {}], [{}, _radiology], [_radiology, {"departments": ["Radiology", "Psychiatry"]}]] {
		_decision(pair[0], pair[1], {}, {"departments": ["Radiology"]}).allow
	}
}

test_deny_when_a_department_is_another if {
	every departments in [["Psychiatry"], ["radiology"], [""], ["*"], []] {
		every pair in [[_radiology, {}], [{}, _radiology], [{}, {"departments": ["Radiology", ""]}]] {
			_decision(pair[0], pair[1], {}, {"departments": departments}) == _denied("department-not-granted")
		}
	}
}

test_deny_when_part_of_a_study_is_of_another_department if {
	every pair in [[_radiology, {}], [{}, _radiology]] {
		both := {"departments": ["Psychiatry", "Radiology"]}
		_decision(pair[0], pair[1], {"level": "study"}, both) == _denied("partial-study")
		_decision(pair[0], pair[1], {"level": "series"}, both) == _denied("department-not-granted")
	}
}

test_deny_when_departments_are_not_known if {
	every departments in [null, "Radiology", 1, {"a": "Radiology"}, false] {
		every pair in [[{}, {}], [_radiology, {}]] {
			_decision(pair[0], pair[1], {}, {"departments": departments}) == _denied("department-not-granted")
		}
	}
}

test_deny_when_departments_are_missing if {
	g := data.dicomweb.lib.fixture.good
	i := object.union(object.remove(g, ["resource"]), {"resource": object.remove(g.resource, ["departments"])})
	data.dicomweb.authz.decision == _denied("department-not-granted") with input as i
}

test_deny_when_a_boundary_is_no_list if {
	every boundary in [null, false, 1, "Radiology", {"a": "Radiology"}, []] {
		every pair in [[{"departments": boundary}, {}], [{}, {"departments": boundary}]] {
			_decision(pair[0], pair[1], {}, {"departments": ["Radiology"]}) == _denied("department-not-granted")
		}
	}
}

# Departments of two roles do not add up, nor does one role's department with another's institution.
test_deny_when_departments_come_from_two_roles if {
	s := data.dicomweb.lib.fixture.subjects(["a", "b"], {})
	r := {
		"a": data.dicomweb.lib.fixture.role({"departments": ["Radiology"], "institutions": ["North Hospital"]}),
		"b": data.dicomweb.lib.fixture.role({"departments": ["Psychiatry"], "institutions": ["South Clinic"]}),
	}
	both := data.dicomweb.lib.fixture.resource({"departments": ["Psychiatry", "Radiology"]})
	data.dicomweb.authz.allow == false with input as both with data.subjects as s with data.roles as r
	crossed := data.dicomweb.lib.fixture.resource({"departments": ["Psychiatry"]})
	data.dicomweb.authz.decision == _denied("institution-not-granted") with input as crossed
		with data.subjects as s
		with data.roles as r
	own := data.dicomweb.lib.fixture.good
	data.dicomweb.authz.allow with input as own with data.subjects as s with data.roles as r
}

test_allow_when_no_object_is_named if {
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"resource": {"known": false, "departments": []}})
	s := data.dicomweb.lib.fixture.subjects(["radiologist"], _radiology)
	data.dicomweb.authz.decision == {"allow": true, "reasons": [], "obligations": [{"type": "filter_rows"}]} with input as i
		with data.subjects as s
}

test_allow_when_rows_of_a_department_are_shown if {
	r := data.dicomweb.lib.fixture.good.resource
	rows := [r, object.union(r, {"departments": ["Psychiatry"]}), object.union(r, {"departments": ["Psychiatry", "Radiology"]})]
	i := object.union(data.dicomweb.lib.fixture.asks("radiologist", "search"), {"rows": rows})
	s := data.dicomweb.lib.fixture.subjects(["radiologist"], _radiology)
	data.dicomweb.authz.visible == [0] with input as i with data.subjects as s
}
