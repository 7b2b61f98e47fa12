package dicomweb.patient_test

test_deny_when_input_is_empty if {
	data.dicomweb.patient.deny == {"patient-not-granted"} with input as {}
}

test_allow_when_the_subject_names_no_patients if {
	every patient in ["P1", "", null] {
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		d := data.dicomweb.authz.decision with input as i
		d.allow
	}
}

test_allow_when_the_patient_is_listed if {
	every patients in ["*", ["P1"], ["P0", "P1"]] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": patients})
		i := data.dicomweb.lib.fixture.good
		d := data.dicomweb.authz.decision with input as i with data.subjects as s
		d.allow
	}
}

test_deny_when_the_patient_is_another if {
	every patient in ["P2", "p1", " P1", "*"] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P1"]})
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		d := data.dicomweb.authz.decision with input as i with data.subjects as s
		d == {"allow": false, "reasons": ["patient-not-granted"], "obligations": []}
	}
}

test_deny_when_the_object_names_no_patient if {
	every patient in ["", null] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P1", "", null]})
		i := data.dicomweb.lib.fixture.resource({"patient_id": patient})
		d := data.dicomweb.authz.decision with input as i with data.subjects as s
		d == {"allow": false, "reasons": ["patient-not-granted"], "obligations": []}
	}
}

test_deny_when_the_patient_is_missing if {
	i := object.union(
		object.remove(data.dicomweb.lib.fixture.good, ["resource"]),
		{"resource": object.remove(data.dicomweb.lib.fixture.good.resource, ["patient_id"])},
	)
	d := data.dicomweb.authz.decision with input as i
	d == {"allow": false, "reasons": ["consent-withheld", "patient-not-granted"], "obligations": []}
}

test_deny_when_patients_are_no_list if {
	every patients in [null, false, true, 1, "P1", {"a": "P1"}, []] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": patients})
		i := data.dicomweb.lib.fixture.good
		d := data.dicomweb.authz.decision with input as i with data.subjects as s
		d == {"allow": false, "reasons": ["patient-not-granted"], "obligations": []}
	}
}

test_allow_when_no_object_is_named if {
	every action in ["search", "store"] {
		s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P1"]})
		q := data.dicomweb.lib.fixture.asks("radiologist", action)
		i := object.union(q, {"resource": {"known": false, "patient_id": null}})
		count(data.dicomweb.patient.deny) == 0 with input as i with data.subjects as s
	}
}

test_deny_when_a_part_is_of_another_patient if {
	s := data.dicomweb.lib.fixture.subjects(["radiologist"], {"patients": ["P1"]})
	q := data.dicomweb.lib.fixture.asks("radiologist", "store")
	i := object.union(q, {"request": {"instance": "1.2.3.4"}, "resource": {"patient_id": "P2"}})
	d := data.dicomweb.authz.decision with input as i with data.subjects as s
	d == {"allow": false, "reasons": ["patient-not-granted"], "obligations": []}
}
