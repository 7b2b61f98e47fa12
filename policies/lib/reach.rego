# METADATA
# title: What a subject reaches
# description: |
#   Patients, institutions, departments and modalities: the dimensions in which the objects that a subject may have are
#   bounded. Bounds are names by dimension (data.dicomweb.prepared); a dimension that they do not list is not bounded.
package dicomweb.lib.reach

# METADATA
# description: |
#   Whether who holds these bounds, by roles that count, reaches an object. A decision asks about one object and visible
#   about every row, both here, so that they cannot come to differ.
#
#   The holder has to reach the patient and every institution and department of the object. Each institution has to be
#   reached by a role that covers every modality and department of the object: which series are of which institution is not
#   known here. An object of which no institution or no modality is known is reached by nobody; one of which no department
#   is known only by who is not held to any.
reached(bounds, roles, object) if {
	object.known == true
	object.institutions[0]
	object.modalities[0]
	is_array(object.departments)
	_ := object.patient_id
	data.dicomweb.lib.reach.within(bounds, object)
	data.dicomweb.lib.reach.by_roles(roles, object)
}

# METADATA
# description: Whether roles reach an object, one by itself or several together, each of them some of its institutions.
by_roles(roles, object) if {
	data.dicomweb.lib.reach.within(roles[0].bounds, object)
} else if {
	count(roles) > 1
	covering := [role | some role in roles; data.dicomweb.lib.reach.covers(role, object)]
	every institution in object.institutions {
		some role in covering
		data.dicomweb.lib.reach.holds(role.bounds, "institutions", [institution])
	}
}

# METADATA
# description: Whether a role covers every modality and department of an object.
covers(role, object) if {
	data.dicomweb.lib.reach.holds(role.bounds, "modalities", object.modalities)
	data.dicomweb.lib.reach.holds(role.bounds, "departments", object.departments)
}

# METADATA
# description: Whether an object is within bounds in every dimension.
within(bounds, object) if {
	bounds == {}
} else if {
	data.dicomweb.lib.reach.holds(bounds, "institutions", object.institutions)
	data.dicomweb.lib.reach.holds(bounds, "departments", object.departments)
	data.dicomweb.lib.reach.holds(bounds, "modalities", object.modalities)
	data.dicomweb.lib.reach.holds(bounds, "patients", [object.patient_id])
}

# METADATA
# description: Whether names are known and all within the bounds of a dimension.
holds(bounds, dimension, names) if {
	not bounds[dimension]
	is_array(names)
} else if {
	is_array(names)
	names[0]
	every name in names { bounds[dimension][name] }
}
