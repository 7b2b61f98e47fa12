# METADATA
# title: What a subject reaches
# description: |
#   Patients, institutions and modalities: the boundaries of the objects that a subject may have. A boundary is a list of
#   names, or "*" for all. A list never holds the empty name, which stands for what an object does not name.
package dicomweb.lib.reach

# METADATA
# description: |
#   Positions of those objects that these roles reach. A decision asks about one object and visible about every row, both
#   here, so that they cannot come to differ.
#
#   The subject has to reach the patient and every institution of the object. Each institution has to be reached by a role
#   that covers every modality of the object: which series are of which institution is not known here. An object of which
#   no institution or no modality is known is reached by nobody.
#
#   `named` holds the names that "*" stands for: patients, institutions and modalities of these objects.
granted(roles, objects, named) := positions if {
	# The outcome of what follows where every boundary is "*", at a third of the cost.
	data.dicomweb.lib.reach.unbounded(roles)
	positions := [position |
		some position, object in objects
		object.known == true
		object.institutions[0]
		object.modalities[0]
		_ := object.patient_id
	]
} else := positions if {
	subject := data.dicomweb.lib.subject.profile
	institutions := data.dicomweb.lib.reach.bound(subject.institutions, named.institutions)
	persons := data.dicomweb.lib.reach.bound(object.get(subject, "patients", "*"), named.patients)
	grants := [grant |
		some role in roles
		grant := {
			"institutions": data.dicomweb.lib.reach.bound(role.institutions, institutions),
			"modalities": data.dicomweb.lib.reach.bound(object.get(role, "modalities", "*"), named.modalities),
		}
	]
	positions := _within(persons, institutions, grants, objects)
}

_within(persons, institutions, grants, objects) := [position |
	some position, object in objects
	object.known == true
	object.patient_id in persons
	object.institutions[0]
	object.modalities[0]
	every institution in object.institutions {
		institution in institutions
		some grant in grants
		institution in grant.institutions
		every modality in object.modalities { modality in grant.modalities }
	}
]

# METADATA
# description: The names within a boundary. What is neither "*" nor a list has none.
bound(boundary, named) := named if {
	boundary == "*"
} else := names if {
	is_array(boundary)
	names := {name |
		some name in boundary
		is_string(name)
		name != ""
	}
}

# METADATA
# description: Whether some of these roles lets its holder have every object of every patient.
unbounded(roles) if {
	data.dicomweb.lib.subject.profile.institutions == "*"
	object.get(data.dicomweb.lib.subject.profile, "patients", "*") == "*"
	some role in roles
	role.institutions == "*"
	object.get(role, "modalities", "*") == "*"
}
