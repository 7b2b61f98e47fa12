# METADATA
# title: Patient
# description: A subject that is held to a list of patients has only what is theirs.
package dicomweb.patient

# METADATA
# title: The object belongs to a patient you may not see
# description: The object is of a patient, or of none, that the subject does not reach.
# custom:
#   code: patient-not-granted
#   remedy: Ask your security team for the patient.
deny contains "patient-not-granted" if not _granted

_granted if {
	data.dicomweb.resource.not_judged
} else if {
	data.dicomweb.lib.reach.holds(data.dicomweb.lib.subject.holder.bounds, "patient_id", input.resource.patient_id)
}
