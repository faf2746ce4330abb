"""Strong baselines by name, in the order of the report; each is tuned and trained as any model is."""

from __future__ import annotations

from llmrec.evaluate.baselines.bpr import Bpr
from llmrec.evaluate.baselines.ease import Ease
from llmrec.evaluate.baselines.ials import Ials
from llmrec.evaluate.baselines.itemknn import ItemKnn
from llmrec.evaluate.baselines.popularity import Popularity
from llmrec.evaluate.baselines.sasrec import SasRec
from llmrec.evaluate.baselines.text import Text
from llmrec.evaluate.model import Model

BASELINES: dict[str, Model] = {
    model.name: model for model in (Popularity(), ItemKnn(), Ease(), Ials(), Bpr(), SasRec(), Text())
}
