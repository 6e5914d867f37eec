"""Every fact that the logic reads can be answered in the questionnaire, and the answer is read by the logic."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from fhir_cds import cql

from .forms_support import base, choices, engine, items, questionnaire, record, response, value

Answers = list[tuple[str, Any]]
DIAGNOSIS = "SarcomaDiagnosis."
METASTASES = "SarcomaMetastases."
TIMING = "SarcomaTiming."
IMAGING = "SarcomaImaging."
EXTENT = "SarcomaExtent."
FITNESS = "SarcomaFitness."
OPERATIONS = "SarcomaOperations."
SYSTEMIC = "SarcomaSystemic."
FOLLOWUP = "SarcomaFollowUp."
BOARDS = "SarcomaBoards."
T = "TarpswgFacts."


@dataclass(frozen=True)
class Row:
    """A fact: the patient before, what is answered, a define that reads it, its value before and after."""

    fact: str
    answers: Answers
    define: str
    before: Any
    after: Any
    patient: str = "primary-only"
    remove: tuple[str, ...] = ()


def drug(fact: str, code: str, define: str = T + "Systemic Treatment Ordered") -> Row:
    return Row(fact, [("systemic_therapy.planned.drug", code)], define, False, True)


def given(fact: str, code: str) -> Row:
    answers: Answers = [
        ("systemic_therapy.given.drug", code),
        ("systemic_therapy.given.status", "active"),
        ("systemic_therapy.given.on", "2026-01-20"),
    ]
    return Row(fact, answers, SYSTEMIC + "Under Systemic Treatment", False, True)


ROWS = [
    Row(
        "sts_diagnosis",
        [("sts_diagnosis", "424952003")],
        DIAGNOSIS + "Soft Tissue Sarcoma",
        False,
        True,
        "primary-only",
        ("Condition/primary",),
    ),
    Row(
        "histologic_subtype",
        [("histologic_subtype", "9044/3")],
        DIAGNOSIS + "Clear Cell Sarcoma",
        None,
        True,
        "primary-only",
        ("Condition/primary",),
    ),
    Row(
        "histology_observation",
        [("histologic_subtype", "8936/3")],
        DIAGNOSIS + "Gastrointestinal Stromal Tumour",
        None,
        True,
        "primary-only",
        ("Condition/primary",),
    ),
    Row("histologic_grade", [("histologic_grade", "1155707008")], T + "High Grade", None, True),
    Row(
        "pathology_expert_review",
        [("pathology_expert_review.on", "2026-01-20")],
        T + "Expert Pathology Review On Record",
        False,
        True,
    ),
    Row(
        "molecular_fusion",
        [("molecular_fusion.gene", "HGNC:3508"), ("molecular_fusion.gene", "HGNC:783")],
        T + "Fusion Of Clear Cell Sarcoma",
        None,
        True,
    ),
    Row("primary_site", [("primary_site.site", "61685007")], T + "Retroperitoneal Primary", True, None),
    Row(
        "primary_diagnosis_date",
        [("primary_diagnosis_date.on", "2020-02")],
        TIMING + "Date Of Primary Diagnosis",
        "2021-03-10",
        "2020-02",
    ),
    Row(
        "primary_resection_date",
        [("primary_resection_date.on", "2021-05-04")],
        TIMING + "Date Of Primary Resection",
        None,
        "2021-05-04",
    ),
    Row(
        "primary_tumour_status",
        [("primary_tumour_status", "resected-complete")],
        EXTENT + "Primary Resected",
        None,
        True,
    ),
    Row("metastatic_disease", [("metastatic_disease", True)], METASTASES + "Metastatic Disease", None, True),
    Row("liver_metastasis", [("liver_metastasis.present", False)], METASTASES + "Liver Metastasis", None, False),
    Row("liver_metastasis", [("liver_metastasis.found.on", "2026-01-20")], METASTASES + "Liver Metastasis", None, True),
    Row("lung_metastasis", [("lung_metastasis.present", False)], T + "Lung Metastasis", None, False),
    Row("lung_metastasis", [("lung_metastasis.found.on", "2026-01-20")], T + "Lung Metastasis", None, True),
    Row(
        "metastatic_sites",
        [("metastatic_sites.organ.what", "94222008"), ("metastatic_sites.organ.on", "2026-01-20")],
        T + "Metastasis Outside The Lung",
        None,
        True,
    ),
    Row("metastatic_sites", [("metastatic_sites.complete", True)], T + "Lung Metastasis", None, False),
    Row("metastasis_count", [("metastasis_count.all", 3)], METASTASES + "Number Of Lesions", None, 3),
    Row("metastatic_site_count", [("metastatic_site_count", 2)], METASTASES + "Number Of Sites", None, 2),
    Row(
        "metastasis_size",
        [("metastasis_count.liver", 1), ("metastasis_size.value", Decimal("2.5"))],
        EXTENT + "Smallest Liver Lesion In Centimetres",
        None,
        Decimal("2.5"),
    ),
    Row("liver_only_disease", [("liver_only_disease", True)], EXTENT + "Liver-Only Disease", None, True),
    Row("diffuse_involvement", [("diffuse_involvement", "none")], EXTENT + "Diffuse Involvement", None, False),
    Row(
        "bilobar_liver_disease", [("bilobar_liver_disease", "bilobar")], EXTENT + "Bilobar Liver Metastases", None, True
    ),
    Row(
        "vascular_involvement",
        [("vascular_involvement.complex", "yes")],
        EXTENT + "Complex Hepatectomy Required",
        None,
        True,
    ),
    Row(
        "vascular_involvement",
        [("vascular_involvement.vessels", "unknown")],
        T + "Relation To Vessels Unclear",
        None,
        True,
    ),
    Row(
        "liver_resectability",
        [("liver_resectability", "unresectable")],
        EXTENT + "Liver Metastases Resectable",
        None,
        False,
    ),
    Row(
        "extrahepatic_resectability",
        [("extrahepatic_resectability", "borderline")],
        EXTENT + "Extrahepatic Metastases Potentially Resectable",
        None,
        True,
    ),
    Row("all_sites_treatable", [("all_sites_treatable", "no")], EXTENT + "All Sites Radically Treatable", None, False),
    Row(
        "metastasis_diagnosis_date",
        [("metastasis_diagnosis_date", "2025-11-03")],
        TIMING + "Date Of First Metastasis",
        None,
        "2025-11-03",
    ),
    Row("timing_class", [("timing_class", "metachronous")], TIMING + "Stated As Metachronous", None, True),
    Row("disease_free_interval", [("disease_free_interval", 14)], T + "Disease-Free Months Stated", None, 14),
    Row(
        "treatment_free_interval",
        [("treatment_free_interval", 13)],
        FOLLOWUP + "Treatment-Free Months Stated",
        None,
        13,
    ),
    Row(
        "liver_recurrence",
        [("liver_recurrence.on", "2026-01-20")],
        FOLLOWUP + "Liver Recurrence",
        False,
        True,
        "resected",
    ),
    Row("liver_dominant", [("liver_dominant.disease", "yes")], EXTENT + "Liver-Dominant Disease", None, True),
    Row("liver_dominant", [("liver_dominant.reason", "symptomatic")], EXTENT + "Dominant Liver Lesion", None, True),
    Row("lesion_uncertain", [("lesion_uncertain.nature", "yes")], EXTENT + "Lesion Of Uncertain Origin", None, True),
    Row("lesion_uncertain", [("lesion_uncertain.atypical", "yes")], EXTENT + "Lesion Of Uncertain Origin", None, True),
    Row(
        "lesion_uncertain", [("lesion_uncertain.contralateral", "yes")], T + "Solitary Contralateral Lesion", None, True
    ),
    Row("disease_volume", [("disease_volume.low", "yes")], T + "Low Volume", None, True),
    Row("disease_volume", [("disease_volume.indolent", "no")], T + "Indolent Or Limited", None, False),
    Row("performance_status_ecog", [("performance_status_ecog", 1)], FITNESS + "ECOG Grade", None, 1),
    Row(
        "performance_status_karnofsky",
        [("performance_status_karnofsky", 80)],
        FITNESS + "Performance Status Recorded",
        None,
        True,
    ),
    Row("asa_class", [("asa_class", "413496000")], FITNESS + "ASA Class Documented", False, True),
    Row("comorbidity", [("comorbidity", "hypertension")], FITNESS + "Comorbidities Documented", False, True),
    Row(
        "surgical_candidacy",
        [("surgical_candidacy", "not-candidate-medical")],
        FITNESS + "Not A Surgical Candidate",
        None,
        True,
    ),
    Row("hcc_risk", [("hcc_risk", "no")], EXTENT + "Risk Factor For Hepatocellular Carcinoma", None, False),
    Row("other_malignancy", [("other_malignancy.present", False)], EXTENT + "Other Malignancy", None, False),
    Row("other_malignancy", [("other_malignancy.syndrome", "yes")], T + "Hereditary Cancer Syndrome", None, True),
    Row("coagulopathy", [("coagulopathy", False)], FITNESS + "Coagulopathy", None, False),
    Row(
        "liver_function",
        [("liver_function", "chemotherapy-exposed")],
        FITNESS + "Liver Exposed To Chemotherapy",
        None,
        True,
    ),
    Row("renal_function", [("renal_function", 62)], FITNESS + "Renal Function Documented", False, True),
    Row("cardiac_function", [("cardiac_function", 58)], T + "Cardiac Function Documented", False, True),
    Row("nutrition_body_size", [("nutrition_body_size", 71)], FITNESS + "Nutritional Status Documented", False, True),
    Row("smoking_status", [("smoking_status", "8517006")], T + "Smokes", None, False),
    Row("pulmonary_function", [("pulmonary_function", "yes")], T + "Compromised Lung Function", None, True),
    Row(
        "prior_abdominal_surgery_count",
        [("prior_abdominal_surgery_count", 2)],
        FITNESS + "Number Of Prior Abdominal Operations",
        None,
        2,
    ),
    Row("flr_percent", [("flr_percent", 35)], FITNESS + "Future Liver Remnant", None, 35),
    Row("symptoms", [("symptoms", "none")], T + "Symptomatic Metastasis", None, False),
    Row("goals_of_care", [("goals_of_care", "yes")], T + "Goals Of Care Recorded", False, True),
    Row("active_infection", [("active_infection", True)], FITNESS + "Active Infection In The Field", None, True),
    Row("hepatectomy", [("hepatectomy", "major")], OPERATIONS + "Major Hepatectomy Planned", False, True),
    Row(
        "metastasectomy",
        [("metastasectomy.liver.on", "2025-09-01")],
        METASTASES + "Date Of Last Liver Metastasectomy",
        None,
        "2025-09-01",
    ),
    Row(
        "metastasectomy",
        [("metastasectomy.lung.what", "232632009"), ("metastasectomy.lung.on", "2025-09-01")],
        T + "Date Of Last Metastasectomy",
        None,
        "2025-09-01",
    ),
    Row(
        "resection_margin",
        [("resection_margin", "278271003")],
        OPERATIONS + "Residual Tumour Category Documented",
        False,
        True,
        "resected",
        ("Observation/residual",),
    ),
    Row(
        "liver_ablation",
        [("liver_ablation.what", "431475009"), ("liver_ablation.on", "2025-09-01")],
        FOLLOWUP + "Liver Metastases Treated Locally",
        None,
        True,
    ),
    Row(
        "transarterial_therapy",
        [("transarterial_therapy.what", "314617008"), ("transarterial_therapy.on", "2025-09-01")],
        FOLLOWUP + "End Of Local Liver Treatment",
        None,
        "2025-09-01",
    ),
    Row("sbrt", [("sbrt.on", "2025-09-01")], T + "Radiotherapy Given", None, True),
    Row("radiotherapy_history", [("radiotherapy_history.status", "not-done")], T + "Radiotherapy Given", None, False),
    Row("systemic_therapy", [("systemic_therapy.ever", False)], FOLLOWUP + "Earlier Systemic Treatment", None, False),
    given("systemic_therapy", "3639"),
    Row(
        "adjuvant_after_hepatectomy",
        [("adjuvant_after_hepatectomy", True)],
        FOLLOWUP + "Adjuvant Treatment After First Liver Resection",
        None,
        True,
    ),
    Row("treatment_response", [("treatment_response.category", "PD")], T + "Progression", None, True, "metachronous"),
    Row("treatment_response", [("treatment_response.stable", 7)], T + "Stable Months Stated", None, 7),
    Row(
        "anthracycline_exposure",
        [("anthracycline_exposure", 300)],
        T + "Cumulative Anthracycline Dose Documented",
        False,
        True,
    ),
    Row(
        "liver_biopsy",
        [("liver_biopsy.done.on", "2026-01-20")],
        OPERATIONS + "Liver Biopsy Done",
        False,
        True,
        "metachronous",
    ),
    Row("hipec", [("hipec.on", "2026-02-20")], T + "Hyperthermic Chemotherapy Ordered", False, True),
    Row(
        "treatment_intent",
        [("treatment_intent.plan", "induction-systemic")],
        SYSTEMIC + "Preoperative Systemic Treatment Planned",
        None,
        True,
    ),
    Row("treatment_intent", [("treatment_intent.goal", "palliation")], T + "Stated Goal Is Palliation", None, True),
    given("drug_doxorubicin", "3639"),
    given("drug_epirubicin", "3995"),
    drug("drug_ifosfamide", "5657", T + "Ifosfamide Ordered"),
    drug("drug_dacarbazine", "1731338"),
    drug("drug_trabectedin", "1718589"),
    drug("drug_eribulin", "1045456"),
    drug("drug_pazopanib", "714438", T + "Pazopanib Ordered"),
    drug("drug_sunitinib", "357977"),
    drug("drug_gemcitabine", "12574"),
    drug("drug_docetaxel", "72962"),
    drug("drug_temozolomide", "37776"),
    drug("drug_sirolimus", "35302"),
    drug("drug_everolimus", "141704"),
    drug("drug_temsirolimus", "657797"),
    drug("drug_crizotinib", "1148495"),
    drug("drug_olaratumab", "1855735", T + "Olaratumab Ordered"),
    drug("drug_vinorelbine", "39541"),
    Row(
        "physical_exam",
        [("physical_exam.on", "2026-01-20")],
        FOLLOWUP + "Surveillance Examinations",
        [],
        ["2026-01-20"],
    ),
    Row("ct_chest_contrast", [("ct_chest_contrast.on", "2026-01-20")], T + "Recent CT Of The Chest", False, True),
    Row(
        "ct_abdomen_contrast",
        [("ct_abdomen_contrast.on", "2026-01-20")],
        IMAGING + "Recent Contrast CT Of The Abdomen",
        False,
        True,
    ),
    Row(
        "ct_abdomen_contrast",
        [("ct_abdomen_contrast.on", "2026-01-20")],
        T + "Recent Contrast CT Of Abdomen And Pelvis",
        False,
        True,
    ),
    Row("mri_liver", [("mri_liver.on", "2026-01-20")], IMAGING + "Recent Liver MRI", False, True),
    Row("pet_ct_fdg", [("pet_ct_fdg.on", "2026-01-20")], IMAGING + "Recent FDG PET-CT", False, True),
    Row("mri_brain", [("mri_brain.on", "2026-01-20")], IMAGING + "Brain MRI On Record", False, True),
    Row("mri_spine", [("mri_spine.on", "2026-01-20")], IMAGING + "Spine MRI On Record", False, True),
    Row(
        "ultrasound_abdomen",
        [("ultrasound_abdomen.on", "2026-01-20")],
        FOLLOWUP + "Surveillance Examinations",
        [],
        ["2026-01-20"],
    ),
    Row("bone_scan", [("bone_scan.on", "2026-01-20")], T + "Recent Bone Scan Or PET", False, True),
    Row(
        "imaging_any",
        [("imaging_any.what", "72254-6"), ("imaging_any.on", "2026-01-20")],
        EXTENT + "Staging Imaging",
        None,
        True,
        "metachronous",
        ("DiagnosticReport/ct",),
    ),
    Row(
        "mdt_discussion",
        [("mdt_discussion.on", "2026-01-20")],
        BOARDS + "Tumour Board Discussion In This Episode",
        False,
        True,
        "metachronous",
    ),
    Row("sarcoma_centre", [("sarcoma_centre.on", "2026-01-20")], BOARDS + "Referred To A Sarcoma Centre", False, True),
    Row(
        "hpb_evaluation",
        [("hpb_evaluation.on", "2026-01-20")],
        BOARDS + "Resectability Known To Be Judged By A Liver Surgeon",
        False,
        True,
        "metachronous",
    ),
    Row("palliative_referral", [("palliative_referral.on", "2026-01-20")], T + "Palliative Care Contact", False, True),
    Row("clinical_trial", [("clinical_trial.on", "2026-01-20")], T + "On A Clinical Trial", False, True),
    Row(
        "liver_volumetry", [("liver_volumetry.on", "2026-01-20")], OPERATIONS + "Liver Volumetry Requested", False, True
    ),
]
# Facts of the catalogue of codes that are not asked for, and why.
NOT_ASKED = {
    "drug_cisplatin": "no recommendation names it",
    "drug_imatinib": "no recommendation names it",
    "omd_state": "worked out from count, sites, spread and treatability",
    "tumour_body_structure": "lesions tracked one by one come from imaging; their number, size and side are asked for",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.fact}-{row.answers[0][0]}")
def test_an_answer_is_read(row: Row) -> None:
    """What is answered changes the fact, and nothing in the response was left unread."""
    resources = base(row.patient, row.remove)
    assert cql.to_json(value(record(resources), row.define)) == row.before
    after = record([*resources, response(row.answers)])
    assert after.gaps == ()
    found = cql.to_json(value(after, row.define))
    assert found == row.after


def test_every_fact_that_the_logic_asks_for_has_an_item() -> None:
    """A fact named as missing is an item of the questionnaire, under its own id; drugs stand under their treatment."""
    asked = {fact for node in engine().graph.listed if (fact := node.fact) and not fact.startswith("drug_")}
    assert asked - {item["linkId"] for item, _ in items(questionnaire()["item"])} == set()


def test_every_item_is_answered_above() -> None:
    """No fact of the questionnaire goes without a row, and each row is about a fact of it."""
    facts = {item["linkId"] for group in questionnaire()["item"] for item in group["item"]}
    aliases = {"histology_observation"} | {row.fact for row in ROWS if row.fact.startswith("drug_")}
    assert {row.fact for row in ROWS} == facts | aliases
    assert not facts & set(NOT_ASKED)


def test_every_choice_has_answers() -> None:
    """A choice offers codings, all with system, code and display."""
    offered = [choices(item) for item, _ in items(questionnaire()["item"]) if item["type"] == "choice"]
    assert all(group and all({"system", "code", "display"} <= set(c) for c in group) for group in offered)
